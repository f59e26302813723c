//! What dynos are told of their app and release, in the environment (platform reference 1.4).

use std::collections::BTreeMap;

use crate::domain::{App, DynoId, Release};
use crate::wire::api::timestamp;
use crate::wire::release_text;

/// The variable with the dyno's own identity.
const DYNO_ID: &str = "HEROKU_DYNO_ID";

/// The variables of an app's release; `domain` is the host name that the app is born with.
#[must_use]
pub fn variables(app: &App, release: &Release, domain: &str) -> BTreeMap<String, String> {
    let slug = release.commit.as_ref().map(|commit| {
        [("HEROKU_SLUG_COMMIT", commit.clone()), ("HEROKU_SLUG_DESCRIPTION", release_text::deploy(commit))]
    });
    let variables = [
        ("HEROKU_APP_DEFAULT_DOMAIN_NAME", domain.to_owned()),
        ("HEROKU_APP_ID", app.id.to_string()),
        ("HEROKU_APP_NAME", app.name.to_string()),
        ("HEROKU_RELEASE_CREATED_AT", timestamp(release.created_at_s)),
        ("HEROKU_RELEASE_VERSION", release.version.to_string()),
    ];
    let all = variables.into_iter().chain(slug.into_iter().flatten());
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The variable that tells one dyno from another.
#[must_use]
pub fn of_dyno(id: DynoId) -> (String, String) {
    (DYNO_ID.to_owned(), id.to_string())
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, ConfigVars, ReleaseStatus, StackName, Switch, Version};

    #[test]
    fn the_published_variables_are_there() {
        let app = App {
            id: AppId(Uuid::from_u128(1)),
            name: "example".parse().unwrap(),
            build_stack: StackName::default(),
            maintenance: false,
            acm: Switch::Off,
            owner: None,
            created_at_s: 0,
        };
        let release = Release {
            id: Uuid::from_u128(2),
            version: Version(42),
            description: "Set FOO config vars".to_owned(),
            user: "me".to_owned(),
            status: ReleaseStatus::Succeeded,
            slug: None,
            commit: Some("9df1a9c".to_owned()),
            stack: StackName::default(),
            stack_version: None,
            process_types: BTreeMap::new(),
            config: ConfigVars::default(),
            created_at_s: 1_427_997_642,
        };
        let lines: Vec<String> = variables(&app, &release, "example.localhost")
            .into_iter()
            .chain([of_dyno(DynoId(Uuid::from_u128(3)))])
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        HEROKU_APP_DEFAULT_DOMAIN_NAME=example.localhost
        HEROKU_APP_ID=00000000-0000-0000-0000-000000000001
        HEROKU_APP_NAME=example
        HEROKU_RELEASE_CREATED_AT=2015-04-02T18:00:42Z
        HEROKU_RELEASE_VERSION=v42
        HEROKU_SLUG_COMMIT=9df1a9c
        HEROKU_SLUG_DESCRIPTION=Deploy 9df1a9c
        HEROKU_DYNO_ID=00000000-0000-0000-0000-000000000003
        ");
    }
}
