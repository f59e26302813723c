//! `dyno ps:scale`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{FormationEntry, FormationUpdate, Quantity, SizeRef, UpdateFormation};

/// Scale dynos: web=2, worker+1, web=1:Standard-2X; without changes, show the formation
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// TYPE=QUANTITY[:SIZE], TYPE+MORE or TYPE-FEWER
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let updates: Vec<FormationUpdate> =
            self.changes.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
        let app = self.app.name()?;
        let path = format!("/apps/{app}/formation");
        if updates.is_empty() {
            let formation: Vec<FormationEntry> = context.client.get(&path).await?;
            return match (context.node.json, formation.is_empty()) {
                (true, _) => output::json(&formation),
                (false, true) => Err(Failure::Nothing(format!(
                    "No process types on {app}.\nUpload a Procfile to add process types."
                ))),
                (false, false) => output::data(&listed(&formation)),
            };
        }
        let changed: Vec<String> = updates.iter().filter_map(|update| update.process_type.clone()).collect();
        let body = UpdateFormation { updates };
        let scaled = context.client.send_json(Method::PATCH, &path, &body);
        let told = |formation: &Vec<FormationEntry>| Some(running(formation, &changed));
        let formation = output::action("Scaling dynos", scaled, told).await?;
        if context.node.json { output::json(&formation) } else { Ok(()) }
    }
}

/// `^([\w-]+)([=+-]\d+)(?::([\w-]+))?$` (platform reference 8.2).
fn parse(text: &str) -> Result<FormationUpdate, Failure> {
    let refuse = || {
        Failure::Usage(format!(
            "{text:?} is no change of a formation: write web=2, web=1:Standard-2X, worker+1 or worker-1."
        ))
    };
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let (change, size) = match text.split_once(':') {
        Some((change, size)) if word(size) => (change, Some(SizeRef::Name(size.to_owned()))),
        Some(_) => return Err(refuse()),
        None => (text, None),
    };
    // The last sign: a type may hold dashes.
    let at = change.rfind(['=', '+', '-']).ok_or_else(refuse)?;
    let (process_type, quantity) = change.split_at(at);
    let digits = &quantity[1..];
    if !word(process_type) || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    let quantity = quantity.strip_prefix('=').unwrap_or(quantity).to_owned();
    Ok(FormationUpdate {
        process_type: Some(process_type.to_owned()),
        quantity: Some(Quantity::Text(quantity)),
        size,
        stop_grace_s: None,
    })
}

fn listed(formation: &[FormationEntry]) -> String {
    let entry = |entry: &FormationEntry| format!("{}={}:{}", entry.process_type, entry.quantity, entry.size);
    formation.iter().map(entry).collect::<Vec<_>>().join(" ") + "\n"
}

/// What was changed, as it is now.
fn running(formation: &[FormationEntry], changed: &[String]) -> String {
    let entries = formation.iter().filter(|entry| changed.contains(&entry.process_type));
    let entry =
        |entry: &FormationEntry| format!("{} at {}:{}", entry.process_type, entry.quantity, entry.size);
    format!("now running {}", entries.map(entry).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod test {
    use super::*;

    fn read(text: &str) -> Option<(String, String, Option<String>)> {
        let update = parse(text).ok()?;
        let Some(Quantity::Text(quantity)) = update.quantity else { return None };
        Some((update.process_type?, quantity, update.size.map(|size| size.name().to_owned())))
    }

    #[test]
    fn changes_are_read_as_published() {
        let change = |name: &str, quantity: &str, size: Option<&str>| {
            Some((name.to_owned(), quantity.to_owned(), size.map(str::to_owned)))
        };
        assert_eq!(read("web=2"), change("web", "2", None));
        assert_eq!(read("worker+1"), change("worker", "+1", None));
        assert_eq!(read("worker-1"), change("worker", "-1", None));
        assert_eq!(read("night-job-1"), change("night-job", "-1", None));
        assert_eq!(read("web=1:standard-2x"), change("web", "1", Some("standard-2x")));
        for bad in ["web", "web=", "=2", "web=x", "web=1:", "web==2", "web=-1:", "a b=1", "web=1:a b", ""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_result_names_what_was_changed() {
        let entry = |name: &str, quantity: u32| {
            let body = serde_json::json!({
                "app": {"id": uuid::Uuid::nil(), "name": "example"}, "command": "x", "created_at": "",
                "dyno_size": {"id": uuid::Uuid::nil(), "name": "Standard-1X"}, "id": uuid::Uuid::nil(),
                "quantity": quantity, "size": "Standard-1X", "type": name, "updated_at": "",
            });
            serde_json::from_value::<FormationEntry>(body).unwrap()
        };
        let formation = [entry("web", 3), entry("worker", 0)];
        assert_eq!(running(&formation, &["web".to_owned()]), "now running web at 3:Standard-1X");
        assert_eq!(listed(&formation), "web=3:Standard-1X worker=0:Standard-1X\n");
    }
}
