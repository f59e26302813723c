//! `dyno ps:type`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, ruled, shown_app};
use crate::wire::api::{FormationEntry, FormationUpdate, SizeRef, UpdateFormation};

/// Show the sizes of dynos, or change them: web=standard-2x, or standard-2x for all types
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// TYPE=SIZE, or a size for all types
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = format!("/apps/{app}/formation");
        let mut formation: Vec<FormationEntry> = context.client.get(&path).await?;
        if formation.is_empty() {
            return Err(Failure::Nothing(format!(
                "No process types on {app}.\nUpload a Procfile to add process types."
            )));
        }
        if !self.changes.is_empty() {
            let body = UpdateFormation { updates: parse(&self.changes, &formation)? };
            let scaled = context.client.send_json(Method::PATCH, &path, &body);
            let text = format!("Scaling dynos on {}", shown_app(&app));
            formation = output::action(&text, scaled, |_| None).await?;
        }
        if context.node.json { output::json(&formation) } else { output::data(&rendered(&formation)) }
    }
}

fn parse(changes: &[String], formation: &[FormationEntry]) -> Result<Vec<FormationUpdate>, Failure> {
    let update = |process_type: &str, size: &str| FormationUpdate {
        process_type: Some(process_type.to_owned()),
        quantity: None,
        size: Some(SizeRef::Name(size.to_owned())),
        stop_grace_s: None,
    };
    if let [size] = changes
        && !size.contains('=')
    {
        return Ok(formation.iter().map(|entry| update(&entry.process_type, size)).collect());
    }
    let one = |text: &String| match text.split_once('=') {
        Some((process_type, size)) if !process_type.is_empty() && !size.is_empty() => {
            Ok(update(process_type, size))
        }
        Some(_) | None => Err(Failure::Usage(format!(
            "{text:?} is no change of sizes: write web=standard-2x, or one size for all types."
        ))),
    };
    changes.iter().map(one).collect()
}

fn rendered(formation: &[FormationEntry]) -> String {
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    let mut types = vec![row(["type", "size", "qty"])];
    let mut totals = std::collections::BTreeMap::<&str, u32>::new();
    for entry in formation {
        types.push(row([&entry.process_type, &entry.size, &entry.quantity.to_string()]));
        *totals.entry(&entry.size).or_default() += entry.quantity;
    }
    let mut sums = vec![vec!["type".to_owned(), "total".to_owned()]];
    sums.extend(totals.into_iter().map(|(size, total)| vec![size.to_owned(), total.to_string()]));
    [heading("Process Types"), ruled(&types), "\n".to_owned(), heading("Dyno Totals"), ruled(&sums)].concat()
}

#[cfg(test)]
mod test {
    use super::*;

    fn entry(name: &str, quantity: u32, size: &str) -> FormationEntry {
        let body = serde_json::json!({
            "app": {"id": uuid::Uuid::nil(), "name": "example"}, "command": "x", "created_at": "",
            "dyno_size": {"id": uuid::Uuid::nil(), "name": size}, "id": uuid::Uuid::nil(),
            "quantity": quantity, "size": size, "type": name, "updated_at": "",
        });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn sizes_are_shown_in_two_tables() {
        let formation = [entry("web", 1, "Standard-1X"), entry("worker", 0, "Standard-1X")];
        insta::assert_snapshot!(rendered(&formation), @r"
        === Process Types

          type     size          qty
         ────────────────────────────
          web      Standard-1X   1
          worker   Standard-1X   0

        === Dyno Totals

          type          total
         ─────────────────────
          Standard-1X   1
        ");
    }

    #[test]
    fn a_bare_size_goes_to_every_type() {
        let formation = [entry("web", 1, "Basic"), entry("worker", 0, "Basic")];
        let names = |changes: &[&str]| -> Option<Vec<String>> {
            let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
            let updates = parse(&changes, &formation).ok()?;
            let shown = |update: FormationUpdate| {
                format!("{}={}", update.process_type.unwrap(), update.size.unwrap().name())
            };
            Some(updates.into_iter().map(shown).collect())
        };
        assert_eq!(names(&["standard-2x"]).unwrap(), ["web=standard-2x", "worker=standard-2x"]);
        assert_eq!(names(&["web=eco", "worker=basic"]).unwrap(), ["web=eco", "worker=basic"]);
        assert_eq!(names(&["web=eco", "basic"]), None);
        assert_eq!(names(&["=eco"]), None);
    }
}
