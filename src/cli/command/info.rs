//! `dyno info`

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::git_remote::{self, Over};
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, megabytes, pairs, shown_app};
use crate::wire::api::{App, Dyno, StackBuild};

/// How many characters of an ISO time are the day.
const DAY_CHARS: usize = 10;

/// Show what an app is made of
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        let dynos: Vec<Dyno> = context.client.get(&format!("/apps/{name}/dynos")).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "app": app, "dynos": dynos }));
        }
        {
            let git_url = git_remote::url(&app, Over::Http, &context.node)?;
            output::data(&rendered(&app, git_url, &dynos))
        }
    }
}

fn rendered(app: &App, git_url: String, dynos: &[Dyno]) -> String {
    // While a dyno is replaced there are two of its name.
    let mut names = BTreeMap::<&str, BTreeSet<&str>>::new();
    for dyno in dynos {
        names.entry(&dyno.process_type).or_default().insert(&dyno.name);
    }
    let counts: Vec<_> = names.iter().map(|(name, dynos)| format!("{name}: {}", dynos.len())).collect();
    let stack = if app.stack.name == app.build_stack.name {
        app.stack.name.clone()
    } else {
        format!("{} (next build will use {})", app.stack.name, app.build_stack.name)
    };
    let rows = [
        ("Auto Cert Mgmt", app.acm.to_string()),
        ("Dynos", counts.join(", ")),
        ("Git SSH URL", app.ssh_git_url.clone().unwrap_or_default()),
        ("Git URL", git_url),
        ("Maintenance", if app.maintenance { "on".to_owned() } else { String::new() }),
        ("Owner", app.owner.email.clone()),
        ("Region", app.region.name.clone()),
        ("Repo Size", app.repo_size.map(megabytes).unwrap_or_default()),
        ("Slug Size", app.slug_size.map(megabytes).unwrap_or_default()),
        ("Stack", stack),
        ("Stack Version", app.stack_version.as_ref().map(version).unwrap_or_default()),
        ("Web URL", app.web_url.clone().unwrap_or_default()),
    ];
    let shown = rows.iter().filter(|(_, value)| !value.is_empty());
    heading(&shown_app(&app.name)) + &pairs(shown.map(|(key, value)| (*key, value.as_str())))
}

/// `8e75d1fce3a2b4c1, built 2026-11-18 (one of 2026-11-26 is used by the next deploy)`
fn version(build: &StackBuild) -> String {
    let day =
        |build: &StackBuild| build.built_at.as_ref().and_then(|at| at.get(..DAY_CHARS)).map(str::to_owned);
    let built = day(build).map(|day| format!(", built {day}")).unwrap_or_default();
    let newer = build.newer.as_ref().map(|newer| {
        let which = day(newer).map_or_else(|| newer.version.clone(), |day| format!("one of {day}"));
        format!(" ({which} is used by the next deploy)")
    });
    format!("{}{built}{}", build.version, newer.unwrap_or_default())
}

#[cfg(test)]
pub(super) mod test {
    use super::*;

    /// An app.
    pub(crate) fn app() -> App {
        let app = serde_json::json!({
            "acm": false, "archived_at": null, "buildpack_provided_description": "Python",
            "build_stack": {"id": uuid::Uuid::nil(), "name": "cedar-14"},
            "created_at": "2026-11-18T01:36:38Z",
            "generation": {"id": uuid::Uuid::nil(), "name": "cedar"},
            "git_url": "http://127.0.0.1:5080/example.git", "id": uuid::Uuid::nil(),
            "internal_routing": null, "maintenance": false, "name": "example", "organization": null,
            "owner": {"email": "root@localhost", "id": uuid::Uuid::nil()}, "process_tier": "standard",
            "region": {"id": uuid::Uuid::nil(), "name": "local"}, "released_at": null,
            "repo_size": 1000, "slug_size": 50331648, "space": null,
            "stack": {"id": uuid::Uuid::nil(), "name": "cedar-13"}, "team": null,
            "stack_version": {
                "version": "8e75d1fce3a2b4c1", "built_at": "2026-11-18T01:36:38Z",
                "newer": {"version": "0011223344556677", "built_at": "2026-11-26T09:00:00Z"},
            },
            "updated_at": "2026-11-18T01:36:38Z", "web_url": "http://example.localhost:8080/",
        });
        serde_json::from_value(app).unwrap()
    }

    #[test]
    fn a_dyno_that_is_replaced_is_counted_once() {
        let dyno = |name: &str, version: u64| -> Dyno {
            let body = serde_json::json!({
                "attach_url": null, "command": "x", "created_at": "", "id": uuid::Uuid::nil(), "name": name,
                "release": {"id": uuid::Uuid::nil(), "version": version}, "state": "up", "updated_at": "",
                "app": {"id": uuid::Uuid::nil(), "name": "example"}, "size": "Standard-1X", "type": "web",
            });
            serde_json::from_value(body).unwrap()
        };
        let dynos = [dyno("web.1", 3), dyno("web.1", 4), dyno("web.2", 3)];
        let shown = rendered(&app(), "http://127.0.0.1:5080/example.git".to_owned(), &dynos);
        assert!(shown.contains("Dynos:          web: 2\n"), "{shown}");
    }

    #[test]
    fn info_reads_as_published() {
        insta::assert_snapshot!(rendered(&app(), "http://127.0.0.1:5080/example.git".to_owned(), &[]), @r"
        === ⬢ example

        Auto Cert Mgmt: false
        Git URL:        http://127.0.0.1:5080/example.git
        Owner:          root@localhost
        Region:         local
        Repo Size:      1000 B
        Slug Size:      48 MB
        Stack:          cedar-13 (next build will use cedar-14)
        Stack Version:  8e75d1fce3a2b4c1, built 2026-11-18 (one of 2026-11-26 is used by the next deploy)
        Web URL:        http://example.localhost:8080/
        ");
    }
}
