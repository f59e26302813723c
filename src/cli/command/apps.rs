//! `dyno apps`

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, ruled};
use crate::wire::api::{Account, App};

/// List the apps that you have, and those that others share with you
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut apps: Vec<App> = context.client.get("/apps").await?;
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        if context.node.json {
            return output::json(&apps);
        }
        let account: Account = context.client.get("/account").await?;
        output::data(&rendered(&account.email, &apps))
    }
}

/// One's own first, then those of others with whose they are.
fn rendered(user: &str, apps: &[App]) -> String {
    if apps.is_empty() {
        return "You have no apps.\n".to_owned();
    }
    let (own, others): (Vec<_>, Vec<_>) = apps.iter().partition(|app| app.owner.email == user);
    let mut text = String::new();
    if !own.is_empty() {
        text.push_str(&heading(&format!("{user} Apps")));
        text.extend(own.iter().map(|app| format!("{}\n", app.name)));
    }
    if !others.is_empty() {
        if !own.is_empty() {
            text.push('\n');
        }
        text.push_str("Collaborated Apps\n\n");
        let head = vec!["Name".to_owned(), "Email".to_owned()];
        let rows = others.iter().map(|app| vec![app.name.clone(), app.owner.email.clone()]);
        text.push_str(&ruled(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn apps_of_others_stand_below_ones_own() {
        let app = |name: &str, owner: &str| {
            let mut app = crate::cli::command::info::test::app();
            app.name = name.to_owned();
            app.owner.email = owner.to_owned();
            app
        };
        let (mine, theirs) = (app("mine", "me@example.com"), app("theirs", "you@example.com"));
        insta::assert_snapshot!(rendered("me@example.com", &[mine.clone(), theirs.clone()]), @r"
        === me@example.com Apps

        mine

        Collaborated Apps

          Name     Email
         ──────────────────────────
          theirs   you@example.com
        ");
        assert!(rendered("me@example.com", &[theirs]).starts_with("Collaborated Apps\n"));
        assert_eq!(rendered("me@example.com", &[mine]), "=== me@example.com Apps\n\nmine\n");
    }
}
