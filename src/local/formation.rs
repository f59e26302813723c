//! Which processes are run, and on which ports. Pure.

use thiserror::Error;

use crate::domain::{DynoName, ProcessType};

/// The port of the first process, unless another is asked for.
pub const PORT: u16 = 5000;
/// How far the ports of one process type lie from those of the next; the most processes of one type, too.
const PORTS_OF_A_TYPE: u16 = 100;
/// The word that stands for every process type.
const ALL: &str = "all";

/// A process to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name, such as `web.1`.
    pub name: DynoName,
    /// Its `$PORT`, on which it can be reached on this machine.
    pub port: u16,
}

/// Why nothing can be run as asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormationError {
    /// There is no process at all.
    #[error("there is nothing to run: no process type is declared, or none is asked for")]
    Nothing,
    /// A type that nobody declares.
    #[error("there is no process type {name:?}; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those declared.
        known: Vec<String>,
    },
    /// No number.
    #[error("{0:?} is no number of processes: write web=2, with 0 to {PORTS_OF_A_TYPE}")]
    Quantity(String),
    /// Beyond the last port.
    #[error("the ports of {0} would lie beyond 65535: choose a lower one with --port")]
    Port(ProcessType),
}

/// The processes that `asked` names out of the declared types, in their order. A word is a type, or a type and how many of it, as in
/// `web=2`; several may be joined by commas, and `all` stands for every type. Without a word every type but `release` runs
/// once. The types that run get ports from `base` on, each a hundred above the one before.
///
/// # Errors
/// A word that asks for what cannot be, or nothing is left to run.
pub fn processes(
    declared: &[ProcessType],
    asked: &[String],
    base: u16,
) -> Result<Vec<Process>, FormationError> {
    let mut quantities: Vec<(&ProcessType, u16)> = declared.iter().map(|name| (name, 0)).collect();
    let words: Vec<&str> =
        asked.iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        quantities.iter_mut().for_each(|(name, quantity)| *quantity = u16::from(!is_release(name)));
    }
    for word in words {
        let (name, quantity) = read(word)?;
        let mut is_known = name == ALL;
        for (declared, wanted) in &mut quantities {
            if declared.as_str() == name || (name == ALL && !is_release(declared)) {
                (*wanted, is_known) = (quantity, true);
            }
        }
        if !is_known {
            let known = declared.iter().map(ToString::to_string).collect();
            return Err(FormationError::Unknown { name: name.to_owned(), known });
        }
    }
    let mut processes = Vec::new();
    let running = quantities.into_iter().filter(|(_, quantity)| *quantity > 0);
    for (place, (name, quantity)) in running.enumerate() {
        for number in 1..=quantity {
            let port = u16::try_from(place).ok().and_then(|place| place.checked_mul(PORTS_OF_A_TYPE));
            let port = port.and_then(|offset| base.checked_add(offset)?.checked_add(number - 1));
            let port = port.ok_or_else(|| FormationError::Port(name.clone()))?;
            processes.push(Process { name: DynoName::new(name.clone(), number.into()), port });
        }
    }
    if processes.is_empty() { Err(FormationError::Nothing) } else { Ok(processes) }
}

/// On the platform it runs once before a release, and never in a formation.
fn is_release(name: &ProcessType) -> bool {
    *name == ProcessType::release()
}

fn read(word: &str) -> Result<(&str, u16), FormationError> {
    let Some((name, quantity)) = word.split_once('=') else { return Ok((word, 1)) };
    let is_number = !quantity.is_empty() && quantity.bytes().all(|byte| byte.is_ascii_digit());
    let number = quantity.parse().ok().filter(|number| is_number && *number <= PORTS_OF_A_TYPE);
    Ok((name, number.ok_or_else(|| FormationError::Quantity(word.to_owned()))?))
}

#[cfg(test)]
mod test {
    use super::*;

    fn run(asked: &[&str], base: u16) -> Result<Vec<String>, FormationError> {
        let declared: Vec<ProcessType> =
            ["web", "release", "worker", "clock"].iter().map(|name| name.parse().unwrap()).collect();
        let asked: Vec<String> = asked.iter().map(|word| (*word).to_owned()).collect();
        let processes = processes(&declared, &asked, base)?;
        Ok(processes.iter().map(|process| format!("{}:{}", process.name, process.port)).collect())
    }

    #[test]
    fn every_type_but_release_runs_once_a_hundred_ports_apart() {
        assert_eq!(run(&[], PORT).unwrap(), ["web.1:5000", "worker.1:5100", "clock.1:5200"]);
        assert_eq!(run(&["release"], PORT).unwrap(), ["release.1:5000"], "unless it is asked for by name");
    }

    #[test]
    fn words_choose_types_and_how_many() {
        assert_eq!(run(&["worker,web=2"], 80).unwrap(), ["web.1:80", "web.2:81", "worker.1:180"]);
        assert_eq!(
            run(&["all=2", "web=0", "clock=1"], 1).unwrap(),
            ["worker.1:1", "worker.2:2", "clock.1:101"]
        );
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let unknown = run(&["wep"], PORT).unwrap_err().to_string();
        assert_eq!(unknown, "there is no process type \"wep\"; there are: web, release, worker, clock");
        for word in ["web=", "web=x", "web=+1", "web=101"] {
            assert_eq!(run(&[word], PORT), Err(FormationError::Quantity(word.to_owned())), "{word}");
        }
        assert_eq!(run(&["web=0"], PORT), Err(FormationError::Nothing));
        assert_eq!(processes(&[], &[], PORT), Err(FormationError::Nothing));
        assert!(matches!(run(&["web", "worker"], 65_500), Err(FormationError::Port(_))));
        assert!(matches!(run(&["web=100"], 65_500), Err(FormationError::Port(_))));
        assert!(run(&["web=36"], 65_500).is_ok());
    }
}
