//! `dyno buildpacks`, and what its siblings share.

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::{BuildpackInstallation, BuildpackUpdate, UpdateBuildpacks};

/// How the API spells the name of one from a registry.
const URN: &str = "urn:buildpack:";

/// Show the buildpacks of an app; none means that the next build finds one by itself
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let list = installed(context, &app).await?;
        if context.node.json {
            return output::json(&list);
        }
        output::data(&rendered(&app, &names(&list)))
    }
}

fn rendered(app: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("{} has no Buildpacks.\n", shown_app(app));
    }
    heading(&format!("{} Buildpacks", shown_app(app))) + &numbered(names)
}

/// The list as the API has it.
pub(super) async fn installed(context: &Context, app: &str) -> Result<Vec<BuildpackInstallation>, Failure> {
    let mut list: Vec<BuildpackInstallation> =
        context.client.get(&format!("/apps/{app}/buildpack-installations")).await?;
    list.sort_by_key(|one| one.ordinal);
    Ok(list)
}

/// The names as they are shown.
pub(super) fn names(list: &[BuildpackInstallation]) -> Vec<String> {
    list.iter().map(|one| plain(&one.buildpack.url).to_owned()).collect()
}

/// A name without what the API puts before it.
pub(super) fn plain(name: &str) -> &str {
    name.strip_prefix(URN).unwrap_or(name)
}

/// Replaces the list, and tells what the next build uses; `done` is what was done: `added`.
pub(super) async fn replace(
    context: &Context,
    app: &str,
    names: Vec<String>,
    done: &str,
) -> Result<(), Failure> {
    let body = UpdateBuildpacks {
        updates: names.into_iter().map(|buildpack| BuildpackUpdate { buildpack }).collect(),
    };
    let path = format!("/apps/{app}/buildpack-installations");
    let list: Vec<BuildpackInstallation> = context.client.send_json(Method::PUT, &path, &body).await?;
    if context.node.json {
        return output::json(&list);
    }
    output::data(&told(app, &self::names(&list), done))
}

fn told(app: &str, names: &[String], done: &str) -> String {
    let app = shown_app(app);
    let next = match names {
        [] => format!("Buildpack {done}. Next release on {app} will detect buildpacks normally.\n"),
        [one] => format!("Buildpack {done}. Next release on {app} will use {one}.\n"),
        several => {
            format!("Buildpack {done}. Next release on {app} will use:\n{}", numbered(several))
        }
    };
    let push = match names {
        [] => String::new(),
        [_] => "Run git push heroku main to create a new release using this buildpack.\n".to_owned(),
        _ => "Run git push heroku main to create a new release using these buildpacks.\n".to_owned(),
    };
    next + &push
}

fn numbered(names: &[String]) -> String {
    names.iter().enumerate().map(|(index, name)| format!("  {}. {name}\n", index + 1)).collect()
}

/// A place in the list, as people count: from 1.
pub(super) fn place(index: Option<usize>) -> Result<Option<usize>, Failure> {
    match index {
        Some(0) => Err(Failure::Usage("Invalid index. Must be greater than 0.".to_owned())),
        Some(index) => Ok(Some(index - 1)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_list_and_its_changes_read_as_published() {
        let shown = [
            rendered("example", &[]),
            rendered("example", &list(&["heroku/nodejs", "heroku/python"])),
            told("example", &list(&["heroku/nodejs"]), "set"),
            told("example", &list(&["heroku/nodejs", "heroku/python"]), "added"),
            told("example", &[], "removed"),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r"
        ⬢ example has no Buildpacks.

        === ⬢ example Buildpacks

          1. heroku/nodejs
          2. heroku/python

        Buildpack set. Next release on ⬢ example will use heroku/nodejs.
        Run git push heroku main to create a new release using this buildpack.

        Buildpack added. Next release on ⬢ example will use:
          1. heroku/nodejs
          2. heroku/python
        Run git push heroku main to create a new release using these buildpacks.

        Buildpack removed. Next release on ⬢ example will detect buildpacks normally.
        ");
    }

    #[test]
    fn places_are_counted_from_one() {
        assert_eq!(place(Some(1)).ok().flatten(), Some(0));
        assert!(place(Some(0)).is_err() && place(None).is_ok_and(|place| place.is_none()));
    }
}
