//! Commands that only look: `state`, `list`, `ps`.

use serde::Serialize;

use crate::oci::arguments::{Known, flag, value};
use crate::oci::containers::{State, Status};
use crate::oci::error::OciError;
use crate::oci::face::{Call, print};
use crate::sys::process;

/// `dyno oci state`.
pub(in crate::oci) fn state(call: &Call<'_>) -> Result<u8, OciError> {
    let (_, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let record = container.record()?;
    let status = container.status(&record);
    // Being made, it may have no copy of its configuration yet.
    let spec = container.config().unwrap_or_default();
    print(&(State::new(&id, status, record.pid, &record.bundle, &spec).text() + "\n"))?;
    Ok(0)
}

const FORMAT: Known = value("format").or('f');
/// Options of `list`.
pub(in crate::oci) const LIST_OPTIONS: &[Known] = &[FORMAT, flag("quiet").or('q')];
/// Options of `ps`.
pub(in crate::oci) const PS_OPTIONS: &[Known] = &[FORMAT];

/// One line of `list`.
#[derive(Serialize)]
struct Listed {
    id: String,
    pid: u32,
    status: Status,
    bundle: String,
    created: String,
    owner: &'static str,
}

/// `dyno oci list`.
pub(in crate::oci) fn list(call: &Call<'_>) -> Result<u8, OciError> {
    let arguments = call.options()?;
    let mut listed = Vec::new();
    for container in call.containers.all()? {
        // It may go while we look.
        let Ok(record) = container.record() else { continue };
        let status = container.status(&record);
        listed.push(Listed {
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle.display().to_string(),
            created: record.created,
            id: container.id,
            owner: "root",
        });
    }
    let text = match (arguments.has("quiet"), arguments.value("format").unwrap_or("table")) {
        (true, _) => listed.iter().map(|one| format!("{}\n", one.id)).collect(),
        (false, "json") => serde_json::to_string(&listed).unwrap_or_default() + "\n",
        (false, "table") => {
            let row = |one: &Listed| {
                format!(
                    "{:<20} {:<8} {:<8} {:<40} {}\n",
                    one.id,
                    one.pid,
                    one.status.to_string(),
                    one.bundle,
                    one.created
                )
            };
            let head = format!("{:<20} {:<8} {:<8} {:<40} {}\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED");
            head + &listed.iter().map(row).collect::<String>()
        }
        (false, other) => return Err(no_format(other)),
    };
    print(&text)?;
    Ok(0)
}

/// `dyno oci ps`.
pub(in crate::oci) fn ps(call: &Call<'_>) -> Result<u8, OciError> {
    let (arguments, id) = call.arguments()?;
    let container = call.containers.named(&id)?;
    let record = container.record()?;
    let pids: Vec<u32> = record.cgroup.pids()?.into_iter().collect();
    let text = match arguments.value("format").unwrap_or("table") {
        "json" => serde_json::to_string(&pids).unwrap_or_default() + "\n",
        "table" => {
            let row = |pid: &u32| format!("{pid:<8} {}\n", process::command_line(*pid).unwrap_or_default());
            "PID      COMMAND\n".to_owned() + &pids.iter().map(row).collect::<String>()
        }
        other => return Err(no_format(other)),
    };
    print(&text)?;
    Ok(0)
}

fn no_format(other: &str) -> OciError {
    OciError::Usage(format!("there is no format {other:?}: give table or json"))
}
