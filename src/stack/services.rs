//! Data services, read from the folders under `stacks/services`: one file each says everything, so that another service is
//! another folder.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::data;
use super::error::StackError;
use super::manifest::parse_packages;
use crate::domain::{Bytes, Plan, Service, ServiceCommands};

/// Where the folders are, below `stacks/`.
const DIR: &str = "services";
/// What a service's address may be made of, and nothing else.
const URL_PARTS: &[&str] = &["{user}", "{password}", "{host}", "{port}", "{database}"];

/// `service.toml`, read strictly: an unknown key is a mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    title: String,
    packages: Vec<String>,
    port: u16,
    config: Config,
    commands: Commands,
    #[serde(default)]
    acts: BTreeMap<String, String>,
    plans: BTreeMap<String, PlanLimits>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    attachment: String,
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands {
    #[serde(default)]
    common: String,
    init: String,
    password: Option<String>,
    start: String,
    check: String,
    backup: Option<String>,
    restore: Option<String>,
    fork: Option<String>,
    reset: Option<String>,
    full: Option<String>,
    freed: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PlanLimits {
    description: String,
    memory_mib: u64,
    disk_mib: u64,
    connections: u32,
}

/// The services this binary carries, by name.
///
/// # Errors
/// The description of one is faulty.
pub fn services() -> Result<&'static [Service], StackError> {
    static SERVICES: OnceLock<Vec<Service>> = OnceLock::new();
    if let Some(read) = SERVICES.get() {
        return Ok(read);
    }
    let names = data::STACKS.iter().filter_map(|(path, text)| {
        let name = path.strip_prefix(DIR)?.strip_prefix('/')?.strip_suffix("/service.toml")?;
        Some((name, *text))
    });
    let read = names.map(|(name, text)| {
        parse(name, text).map_err(|reason| StackError::Service { name: name.to_owned(), reason })
    });
    let read = read.collect::<Result<Vec<_>, _>>()?;
    Ok(SERVICES.get_or_init(|| read))
}

/// The service that answers to `name`.
///
/// # Errors
/// There is none, or the description of one is faulty.
pub fn service(name: &str) -> Result<&'static Service, StackError> {
    let all = services()?;
    all.iter().find(|service| service.is_named(name)).ok_or_else(|| StackError::UnknownService {
        name: name.to_owned(),
        known: all.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Reads the description in the folder `folder`, and refuses what could not be run.
fn parse(folder: &str, text: &str) -> Result<Service, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.name != folder {
        return Err(format!("it calls itself `{}`", file.name));
    }
    for name in [&file.name].into_iter().chain(&file.aliases).chain(file.plans.keys()).chain(file.acts.keys())
    {
        if !is_word(name, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(format!("`{name}` is not made of small letters, digits and dashes"));
        }
    }
    parse_packages(&file.packages.join("\n"))?;
    let Config { attachment, url } = file.config;
    if !is_word(&attachment, |b| b.is_ascii_uppercase() || b == b'_') {
        return Err(format!("`{attachment}` is no name of an attachment: capital letters and underscores"));
    }
    let filled = URL_PARTS.iter().fold(url.clone(), |text, part| text.replace(part, ""));
    if filled.contains(['{', '}']) {
        return Err(format!("`{url}` may be made of {}", URL_PARTS.join(", ")));
    }
    if file.port == 0 {
        return Err("port 0 is none".to_owned());
    }
    let plans = plans(file.plans)?;
    if file.commands.backup.is_some() != file.commands.restore.is_some() {
        return Err("one of backup and restore is of no use without the other".to_owned());
    }
    let Commands { common, init, password, start, check, backup, restore, fork, reset, full, freed } =
        file.commands;
    Ok(Service {
        name: file.name,
        aliases: file.aliases,
        title: file.title,
        packages: file.packages,
        port: file.port,
        attachment,
        url,
        commands: ServiceCommands {
            common,
            init,
            password,
            start,
            check,
            backup,
            restore,
            fork,
            reset,
            full,
            freed,
        },
        acts: file.acts,
        plans,
    })
}

/// The plans, the smallest first: it is the default.
fn plans(read: BTreeMap<String, PlanLimits>) -> Result<Vec<Plan>, String> {
    let mut plans = Vec::new();
    for (name, PlanLimits { description, memory_mib, disk_mib, connections }) in read {
        if memory_mib == 0 || disk_mib == 0 || connections == 0 {
            return Err(format!("plan {name} leaves no memory or disk, or nobody in"));
        }
        plans.push(Plan {
            name,
            description,
            memory: Bytes::mib(memory_mib),
            disk: Bytes::mib(disk_mib),
            connections,
        });
    }
    plans.sort_by_key(|plan| plan.memory);
    if plans.is_empty() { Err("it has no plan".to_owned()) } else { Ok(plans) }
}

/// Whether `text` is one or more bytes of a kind.
fn is_word(text: &str, is_in: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_in)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::Credentials;

    #[test]
    fn every_service_reads_well_and_is_found_by_each_of_its_names() {
        let names: Vec<_> = services().unwrap().iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["heroku-postgresql", "heroku-redis"]);
        assert_eq!(service("postgresql").unwrap().name, "heroku-postgresql");
        assert_eq!(service("redis").unwrap().short_name(), "redis");
        let error = service("papertrail").unwrap_err().to_string();
        assert!(error.contains("papertrail") && error.contains("heroku-redis"), "{error}");
    }

    #[test]
    fn the_smallest_plan_comes_first() {
        let plans = &service("postgresql").unwrap().plans;
        assert_eq!(plans[0].name, "essential-0");
        assert!(plans.is_sorted_by_key(|plan| plan.memory));
    }

    #[test]
    fn the_address_is_in_the_platforms_form() {
        let of = Credentials { user: "u1", password: "p1", host: "h.internal", database: "d1" };
        let url = |name| service(name).unwrap().url(of);
        assert_eq!(url("postgresql"), "postgres://u1:p1@h.internal:5432/d1");
        assert_eq!(url("redis"), "redis://:p1@h.internal:6379");
    }

    #[test]
    fn what_could_not_be_run_is_refused_with_its_reason() {
        let (_, text) = data::STACKS.iter().find(|(path, _)| path.ends_with("redis/service.toml")).unwrap();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            parse("heroku-redis", &text.replacen(from, to, 1)).unwrap_err()
        };
        assert!(parse("heroku-redis", text).is_ok());
        assert!(parse("redis", text).unwrap_err().contains("heroku-redis"));
        assert!(refused("port = 6379", "port = 0").contains("port"));
        assert!(refused("port = 6379", "port = 6379\nhost = 1").contains("host"));
        assert!(refused("\"redis-tools\"", "\"--force\"").contains("--force"));
        assert!(refused("{password}", "{secret}").contains("{secret}"));
        assert!(refused("\"REDIS\"", "\"a b\"").contains("a b"));
        assert!(refused("memory-mib = 64", "memory-mib = 0").contains("mini"));
        assert!(refused("[acts]", "[acts]\n\"a b\" = \"true\"").contains("a b"));
        assert!(refused("check = ", "backup = \"true\"\ncheck = ").contains("restore"));
    }
}
