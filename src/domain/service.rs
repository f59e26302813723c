//! A data service that apps may have as an add-on: what it is made of, how it is run, what it gives.

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
    /// What it may use, the default first.
    pub plans: Vec<Plan>,
}

/// Commands of a service, for bash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCommands {
    /// Fills an empty `/data`.
    pub init: String,
    /// Becomes the server.
    pub start: String,
    /// Succeeds once the server answers.
    pub check: String,
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
    /// Clients at one time.
    pub connections: u32,
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
