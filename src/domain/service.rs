//! A data service that apps may have as an add-on: what it is made of, how it is run, what it gives.

use std::collections::BTreeMap;

use crate::domain::Bytes;

/// A data service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name: `heroku-postgresql`.
    pub name: String,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// For people: `PostgreSQL 17`.
    pub title: String,
    /// Debian packages laid over the default stack.
    pub packages: Vec<String>,
    /// The TCP port its server listens on, in its own network.
    pub port: u16,
    /// What an attachment is called that is given no name: `DATABASE`.
    pub attachment: String,
    /// The value of its config var, with `{user}`, `{password}`, `{host}`, `{port}` and `{database}` to be filled in.
    pub url: String,
    /// How it is run.
    pub commands: ServiceCommands,
    /// What may be done in it while it runs, by name: commands for bash, with `common` before each.
    pub acts: BTreeMap<String, String>,
    /// What it may use, the default first.
    pub plans: Vec<Plan>,
}

/// Commands of a service, for bash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCommands {
    /// Stands before each command that runs beside the server: functions, and where its programs are.
    pub common: String,
    /// Fills an empty `/srv`.
    pub init: String,
    /// Makes `$PASSWORD` the password of clients, before the server is started; run where it was another at the last start.
    pub password: Option<String>,
    /// Becomes the server.
    pub start: String,
    /// Succeeds once the server answers.
    pub check: String,
    /// Writes all there is to its output, as of one moment.
    pub backup: Option<String>,
    /// Puts what `backup` has written, and is its input, in the place of what there is.
    pub restore: Option<String>,
    /// Makes its own what is in `/srv`: a copy of the data of another service of its kind as the death of that would have left it. Run
    /// once, before the first start; what does not fit fails it. Where there is none, data is not copied file by file.
    pub fork: Option<String>,
    /// Empties it.
    pub reset: Option<String>,
    /// Refuses writes from now on: there is too much of it.
    pub full: Option<String>,
    /// Takes writes again; run at starts too, when nothing was refused.
    pub freed: Option<String>,
}

/// What a service may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name within the service: `essential-0`.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its memory.
    pub memory: Bytes,
    /// What its data may take of the disk before writes are refused.
    pub disk: Bytes,
    /// Clients at one time.
    pub connections: u32,
}

/// What may be used before writes are refused of data whose plan has `limit` bytes, and what must be left before they are taken again:
/// a tenth less, so that the two do not take turns.
#[must_use]
pub fn disk_bounds(limit: Bytes) -> (Bytes, Bytes) {
    (limit, Bytes(limit.0 / 10 * 9))
}

/// Who reaches a service, and where.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The user.
    pub user: &'a str,
    /// The secret.
    pub password: &'a str,
    /// The name of its host.
    pub host: &'a str,
    /// The database.
    pub database: &'a str,
}

impl Service {
    /// Whether it answers to `name`.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The plan of that name.
    #[must_use]
    pub fn plan(&self, name: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.name == name)
    }

    /// The shortest of its names, with which names of its add-ons begin: `postgresql`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.aliases
            .iter()
            .map(String::as_str)
            .chain([self.name.as_str()])
            .min_by_key(|name| name.len())
            .unwrap_or_default()
    }

    /// The value of its config var. It holds a secret.
    #[must_use]
    pub fn url(&self, of: Credentials<'_>) -> String {
        let port = self.port.to_string();
        let values = [
            ("{user}", of.user),
            ("{password}", of.password),
            ("{host}", of.host),
            ("{port}", &port),
            ("{database}", of.database),
        ];
        values.iter().fold(self.url.clone(), |text, (name, value)| text.replace(name, value))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn writes_are_taken_again_when_there_is_room_to_speak_of() {
        let limit = Bytes(1000);
        assert_eq!(disk_bounds(limit), (Bytes(1000), Bytes(900)));
    }
}
