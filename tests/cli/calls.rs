//! How each command is called: well, and in the ways in which people get it wrong.

/// What is done with a command beside reading its help.
pub enum Calls {
    /// These calls, one after the other; others may come before, to bring about what it works on.
    Made(&'static [&'static [&'static str]]),
    /// None, for this reason.
    None(&'static str),
}

/// The commands named here.
pub fn named() -> impl Iterator<Item = &'static str> {
    MADE.iter().map(|(name, _)| *name).chain(NOT_MADE.iter().map(|(name, _)| *name))
}

/// The calls of `command`; it must be named.
pub fn calls(command: &str) -> Calls {
    if let Some((_, why)) = NOT_MADE.iter().find(|(name, _)| *name == command) {
        return Calls::None(why);
    }
    let made = MADE.iter().find(|(name, _)| *name == command);
    let (_, calls) = made.unwrap_or_else(|| panic!("there are no calls of {command}: write some"));
    Calls::Made(calls)
}

/// Stands for the program without a command.
pub const PROGRAM: &str = "dyno";

const NOT_MADE: &[(&str, &str)] = &[
    ("serve", "it is the node itself, which other tests start"),
    ("down", "it needs root, and other tests end nodes with it"),
    ("local", "it needs root, and tests/e2e/local.rs tells its story"),
    ("local:run", "it needs root, and tests/e2e/local.rs tells its story"),
    ("doctor", "it tells of the machine"),
    ("debug", "it has forms"),
    ("debug plan", "it tells of the machine"),
    ("debug start", "it needs root"),
    ("trust", "it changes what the machine trusts, and tests/e2e/tls.rs tells its story"),
    ("oci", "it has a grammar of its own, which tests/oci holds"),
];

const MADE: &[(&str, &[&[&str]])] = &[
    (PROGRAM, &[&[], &["nonsense"], &["container:push", "web"], &["--version"]]),
    (
        "create",
        &[
            &["create", "another"],
            &["create", "Another"],
            &["create", "example"],
            &["create", "third", "--stack", "cedar-13"],
            &["create", "fourth", "--stack", "nonsense"],
        ],
    ),
    (
        "open",
        &[
            &["open", "-a", "example"],
            &["open", "/path?a=b", "-a", "example"],
            &["open", "-a", "example", "--json"],
            &["open", "-a", "nothing"],
        ],
    ),
    ("config:edit", &[&["config:edit", "-a", "nothing"]]),
    ("git:clone", &[&["git:clone"], &["git:clone", "-a", "nothing"]]),
    ("apps", &[&["apps"], &["apps", "nonsense"], &["apps", "--root", "nowhere"]]),
    (
        "apps:destroy",
        &[
            &["apps:destroy", "example"],
            &["apps:destroy", "example", "--confirm", "exmaple"],
            &["apps:destroy", "example", "--confirm", "example"],
            &["apps:destroy", "example", "--confirm", "example"],
        ],
    ),
    ("info", &[&["info", "-a", "example"], &["info", "-a", "bare"], &["info", "-a", "missing"], &["info"]]),
    (
        "ps",
        &[
            &["ps", "-a", "example"],
            &["ps", "worker", "-a", "example"],
            &["ps", "clock", "-a", "example"],
            &["ps", "-a", "bare"],
        ],
    ),
    (
        "ps:scale",
        &[
            &["ps:scale", "-a", "example"],
            &["ps:scale", "web=3", "worker-1", "-a", "example"],
            &["ps:scale", "web=1:standard-2x", "-a", "example"],
            &["ps:scale", "clock=1", "-a", "example"],
            &["ps:scale", "web=1000", "-a", "example"],
            &["ps:scale", "web=many", "-a", "example"],
            &["ps:scale", "-a", "bare"],
        ],
    ),
    (
        "ps:type",
        &[
            &["ps:type", "-a", "example"],
            &["ps:type", "web=standard-2x", "-a", "example"],
            &["ps:type", "huge", "-a", "example"],
            &["ps:type", "=", "-a", "example"],
            &["ps:type", "-a", "bare"],
        ],
    ),
    (
        "ps:grace",
        &[
            &["ps:grace", "-a", "example"],
            &["ps:grace", "worker=300", "-a", "example"],
            &["ps:grace", "worker=36000", "-a", "example"],
            &["ps:grace", "worker=long", "-a", "example"],
        ],
    ),
    (
        "ps:restart",
        &[
            &["ps:restart", "-a", "example"],
            &["ps:restart", "web", "-a", "example"],
            &["ps:restart", "web.1", "-a", "example"],
            &["ps:restart", "web.7", "-a", "example"],
        ],
    ),
    (
        "ps:stop",
        &[
            &["ps:stop", "web.1", "-a", "example"],
            &["ps:stop", "run.1234", "-a", "example"],
            &["ps:stop", "-a", "example"],
        ],
    ),
    (
        "why",
        &[
            &["why", "web.1", "-a", "example"],
            &["why", "web.1", "--all", "-a", "example"],
            &["why", "worker.1", "-a", "example"],
            &["why", "web", "-a", "example"],
        ],
    ),
    (
        "run",
        &[
            &["run", "-a", "example", "rake db:migrate"],
            &["run", "-a", "bare", "ls"],
            &["run", "-a", "example"],
        ],
    ),
    (
        "run:inside",
        &[
            &["run:inside", "-a", "example", "web.1", "ls"],
            &["run:inside", "-a", "example", "web.9", "ls"],
            &["run:inside", "-a", "example", "web.1"],
        ],
    ),
    (
        "ps:exec",
        &[
            &["ps:exec", "-a", "example"],
            &["ps:exec", "-a", "example", "--dyno", "web.2", "--", "ls", "-a", "/"],
            &["ps:exec", "-a", "bare"],
        ],
    ),
    (
        "ps:copy",
        &[
            &["ps:copy", "-a", "example", "log/production.log"],
            &["ps:copy", "-a", "example", "log/production.log"],
            &["ps:copy", "-a", "example", "-d", "web.9", "log", "-o", "other"],
            &["ps:copy", "-a", "example", "/"],
        ],
    ),
    (
        "run:detached",
        &[&["run:detached", "-a", "example", "rake db:migrate"], &["run:detached", "-a", "bare", "ls"]],
    ),
    (
        "logs",
        &[
            &["logs", "-a", "example"],
            &["logs", "-a", "example", "-n", "1"],
            &["logs", "-a", "example", "--grep", "Release v3"],
            &["logs", "-a", "example", "--grep", "("],
            &["logs", "-a", "example", "--grep", "what nobody says"],
            &["logs", "-a", "example", "--source", "nonsense"],
            &["logs", "-a", "missing"],
        ],
    ),
    (
        "drains",
        &[
            &["drains", "-a", "example"],
            &["drains:add", "https://logs.example.com/x", "-a", "example"],
            &["drains", "-a", "example"],
        ],
    ),
    (
        "drains:add",
        &[
            &["drains:add", "syslog+tls://logs.example.com:6514", "-a", "example"],
            &["drains:add", "syslog+tls://logs.example.com:6514", "-a", "example"],
            &["drains:add", "ftp://logs.example.com", "-a", "example"],
        ],
    ),
    (
        "drains:remove",
        &[
            &["drains:remove", "https://logs.example.com/x", "-a", "example"],
            &["drains:add", "https://logs.example.com/x", "-a", "example"],
            &["drains:remove", "https://logs.example.com/x", "-a", "example"],
        ],
    ),
    (
        "config",
        &[
            &["config", "-a", "example"],
            &["config", "--shell", "-a", "example"],
            &["config", "--json", "-a", "example"],
            &["config", "-a", "bare"],
        ],
    ),
    (
        "config:set",
        &[
            &["config:set", "NAME=a value", "OTHER=2", "-a", "example"],
            &["config:set", "NAME=a value", "-a", "example"],
            &["config:set", "NAME", "-a", "example"],
            &["config:set", "FIRST=1", "-a", "bare"],
            &["config:set", "PORT=1", "-a", "bare"],
        ],
    ),
    (
        "config:get",
        &[
            &["config:get", "GREETING", "-a", "example"],
            &["config:get", "GREETING", "MISSING", "-a", "example"],
        ],
    ),
    (
        "config:unset",
        &[&["config:unset", "GREETING", "-a", "example"], &["config:unset", "GREETING", "-a", "example"]],
    ),
    ("features", &[&["features", "-a", "example"]]),
    (
        "features:info",
        &[&["features:info", "preboot", "-a", "example"], &["features:info", "nonsense", "-a", "example"]],
    ),
    (
        "features:enable",
        &[
            &["features:enable", "log-runtime-metrics", "-a", "example"],
            &["features:enable", "nonsense", "-a", "example"],
        ],
    ),
    (
        "features:disable",
        &[
            &["features:disable", "preboot", "-a", "example"],
            &["features:disable", "preboot", "-a", "example"],
        ],
    ),
    (
        "routing",
        &[
            &["routing", "-a", "example"],
            &["routing", "first-byte=60s", "least-connections=on", "readiness=/health", "-a", "example"],
            &["routing", "first-byte=default", "rolling=2h", "-a", "example"],
            &["routing", "nonsense=on", "-a", "example"],
            &["routing", "first-byte", "-a", "example"],
        ],
    ),
    (
        "releases",
        &[
            &["releases", "-a", "example"],
            &["releases", "-n", "1", "-a", "example"],
            &["releases", "-a", "missing"],
        ],
    ),
    (
        "releases:info",
        &[
            &["releases:info", "-a", "example"],
            &["releases:info", "v3", "-a", "example"],
            &["releases:info", "v99", "-a", "example"],
        ],
    ),
    (
        "releases:output",
        &[&["releases:output", "-a", "example"], &["releases:output", "v3", "-a", "example"]],
    ),
    (
        "rollback",
        &[
            &["rollback", "-a", "example"],
            &["rollback", "v3", "-a", "example"],
            &["rollback", "v99", "-a", "example"],
            &["rollback", "-a", "bare"],
        ],
    ),
    ("pipelines", &[&["pipelines"], &["pipelines:create", "shop", "-a", "example"], &["pipelines"]]),
    (
        "pipelines:create",
        &[
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:create", "shop"],
            &["pipelines:create", "-a", "bare"],
            &["pipelines:create", "Shop"],
            &["pipelines:create", "other", "-a", "example"],
            &["pipelines:create"],
        ],
    ),
    (
        "pipelines:info",
        &[
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:add", "shop", "-a", "bare"],
            &["pipelines:info", "shop"],
            &["pipelines:info", "missing"],
        ],
    ),
    (
        "pipelines:add",
        &[
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:add", "shop", "-a", "bare", "-s", "prod"],
            &["pipelines:add", "shop", "-a", "bare", "-s", "production"],
            &["pipelines:add", "shop", "-a", "bare"],
            &["pipelines:add", "missing", "-a", "bare"],
            &["pipelines:add", "shop", "-a", "missing"],
        ],
    ),
    (
        "pipelines:update",
        &[
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:update", "-a", "example", "-s", "production"],
            &["pipelines:update", "-a", "example", "-s", "nonsense"],
            &["pipelines:update", "-a", "bare", "-s", "production"],
        ],
    ),
    (
        "pipelines:remove",
        &[
            &["pipelines:create", "shop", "-a", "example"],
            &["pipelines:remove", "-a", "example"],
            &["pipelines:remove", "-a", "example"],
        ],
    ),
    (
        "pipelines:rename",
        &[
            &["pipelines:create", "shop"],
            &["pipelines:create", "other"],
            &["pipelines:rename", "shop", "store"],
            &["pipelines:rename", "shop", "store"],
            &["pipelines:rename", "store", "other"],
            &["pipelines:rename", "store", "no"],
        ],
    ),
    (
        "pipelines:destroy",
        &[
            &["pipelines:create", "shop", "-a", "example"],
            &["pipelines:destroy", "shop"],
            &["pipelines:destroy", "shop"],
        ],
    ),
    (
        "pipelines:transfer",
        &[
            &["pipelines:create", "shop", "-a", "example"],
            &["users:create", "friend@example.com"],
            &["pipelines:transfer", "friend@example.com", "-p", "shop"],
            &["pipelines:transfer", "friend@example.com", "-p", "shop", "--confirm", "shpo"],
            &["pipelines:transfer", "friend@example.com", "-p", "shop", "--confirm", "shop"],
            &["pipelines:info", "shop"],
            &["info", "-a", "example"],
            &["pipelines:transfer", "nobody@example.com", "-p", "shop", "--confirm", "shop"],
            &["pipelines:transfer", "friend@example.com", "-p", "missing", "--confirm", "missing"],
        ],
    ),
    (
        "pipelines:promote",
        &[
            &["pipelines:promote", "-a", "example"],
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:promote", "-a", "example"],
            &["pipelines:add", "shop", "-a", "bare", "-s", "production"],
            &["pipelines:promote", "-a", "bare"],
            &["pipelines:promote", "-a", "bare", "--to", "example"],
            &["pipelines:promote", "-a", "example", "--to", "missing"],
            &["pipelines:promote", "-a", "example"],
            &["releases", "-a", "bare"],
            &["pipelines:promote", "-a", "example"],
        ],
    ),
    (
        "pipelines:diff",
        &[
            &["pipelines:create", "shop", "-a", "example", "-s", "staging"],
            &["pipelines:diff", "-a", "example"],
            &["git", "init", "-q"],
            &["pipelines:diff", "-a", "bare"],
            &["pipelines:diff", "-a", "example"],
            &["pipelines:add", "shop", "-a", "bare", "-s", "production"],
            &["pipelines:diff", "-a", "bare"],
            &["pipelines:diff", "-a", "example"],
        ],
    ),
    (
        "addons",
        &[
            &["addons", "-a", "example"],
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons", "-a", "example"],
            &["addons", "--all"],
        ],
    ),
    ("addons:services", &[&["addons:services"]]),
    ("addons:plans", &[&["addons:plans", "redis"], &["addons:plans", "nonsense"]]),
    (
        "addons:create",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:create", "redis:mini", "--name", "jobs", "--as", "queue", "--wait", "-a", "example"],
            &["addons:create", "redis", "--as", "queue", "-a", "example"],
            &["addons:create", "papertrail", "-a", "example"],
            &["addons:create", "redis", "--name", "No", "-a", "example"],
            &["addons:create", "postgresql", "--fork", "nonsense", "-a", "example"],
            &["addons:create", "redis", "--fork", "DATABASE", "-a", "example"],
            &["addons:create", "postgresql", "-a", "example", "--", "--follow", "DATABASE_URL"],
            &["addons:create", "postgresql", "-a", "example", "--", "DATABASE_URL"],
            &["config:set", "DATABASE_URL=x", "-a", "example"],
        ],
    ),
    (
        "addons:info",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:info", "nonsense"],
            &["addons:info", "DATABASE", "-a", "bare"],
        ],
    ),
    (
        "addons:attach",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:attach", "books", "-a", "bare"],
            &["addons:attach", "books", "--as", "DATABASE", "-a", "bare"],
            &["addons:attach", "nonsense", "-a", "bare"],
        ],
    ),
    (
        "addons:detach",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:detach", "DATABASE", "-a", "example"],
            &["addons:attach", "books", "-a", "bare"],
            &["addons:detach", "DATABASE", "-a", "bare"],
            &["addons:detach", "DATABASE", "-a", "bare"],
        ],
    ),
    (
        "addons:upgrade",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:upgrade", "books", "postgresql:standard-0"],
            &["addons:upgrade", "DATABASE", "redis:mini", "-a", "example"],
        ],
    ),
    (
        "addons:rename",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:rename", "books", "ledger"],
            &["addons:rename", "books", "ledger"],
        ],
    ),
    (
        "addons:destroy",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:destroy", "books"],
            &["addons:destroy", "books", "--confirm", "exmaple"],
            &["addons:destroy", "books", "--confirm", "example"],
            &["addons", "-a", "example"],
        ],
    ),
    (
        "addons:wait",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:wait", "-a", "example"],
        ],
    ),
    (
        "addons:run",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:run", "books", "ps", "-a", "example"],
            &["addons:run", "books", "nonsense", "-a", "example"],
            &["addons:run", "DATABASE", "kill", "12", "-a", "example"],
        ],
    ),
    (
        "addons:removed",
        &[
            &["addons:removed"],
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:destroy", "books", "--confirm", "example"],
            &["addons:removed"],
        ],
    ),
    (
        "addons:bring-back",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:destroy", "books", "--confirm", "example"],
            &["addons:bring-back", "ledger", "-a", "bare"],
        ],
    ),
    (
        "pg",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg", "-a", "example"],
            &["pg", "-a", "bare"],
            &["pg", "nonsense", "-a", "example"],
        ],
    ),
    (
        "pg:psql",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:psql", "-c", "SELECT 1", "-a", "example"],
            &["pg:psql", "-c", "SELECT 1", "-a", "bare"],
        ],
    ),
    ("pg:stand-in", &[&["pg:stand-in", "-c", "SELECT 1"]]),
    (
        "pg:ps",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:ps", "-a", "example"],
        ],
    ),
    (
        "pg:kill",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:kill", "12", "--force", "-a", "example"],
        ],
    ),
    (
        "pg:killall",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:killall", "-a", "example"],
        ],
    ),
    (
        "pg:diagnose",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:diagnose", "-a", "example"],
        ],
    ),
    (
        "pg:wait",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:wait", "-a", "example"],
        ],
    ),
    (
        "pg:promote",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:promote", "books", "-a", "example"],
            &["addons:create", "postgresql", "--name", "other", "--as", "OTHER", "--wait", "-a", "example"],
            &["pg:promote", "OTHER", "-a", "example"],
            &["addons", "-a", "example"],
        ],
    ),
    (
        "pg:reset",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:reset", "-a", "example"],
            &["pg:reset", "--confirm", "exmaple", "-a", "example"],
            &["pg:reset", "--confirm", "example", "-a", "example"],
        ],
    ),
    (
        "pg:credentials",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:credentials", "-a", "example"],
        ],
    ),
    (
        "pg:credentials:url",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:credentials:url", "-a", "bare"],
            &["pg:credentials:url", "--name", "other", "-a", "example"],
        ],
    ),
    (
        "pg:credentials:rotate",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:credentials:rotate", "--confirm", "example", "-a", "example"],
            &["releases", "-a", "example"],
        ],
    ),
    (
        "pg:blocking",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:blocking", "-a", "example"],
        ],
    ),
    (
        "pg:cache-hit",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:cache-hit", "-a", "example"],
        ],
    ),
    (
        "pg:calls",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:calls", "-a", "example"],
        ],
    ),
    (
        "pg:extensions",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:extensions", "-a", "example"],
        ],
    ),
    (
        "pg:index-size",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:index-size", "-a", "example"],
        ],
    ),
    (
        "pg:index-usage",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:index-usage", "-a", "example"],
        ],
    ),
    (
        "pg:locks",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:locks", "-a", "example"],
        ],
    ),
    (
        "pg:long-running-queries",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:long-running-queries", "-a", "example"],
        ],
    ),
    (
        "pg:outliers",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:outliers", "-a", "example"],
        ],
    ),
    (
        "pg:records-rank",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:records-rank", "-a", "example"],
        ],
    ),
    (
        "pg:seq-scans",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:seq-scans", "-a", "example"],
        ],
    ),
    (
        "pg:stats-reset",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:stats-reset", "-a", "example"],
        ],
    ),
    (
        "pg:table-indexes-size",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:table-indexes-size", "-a", "example"],
        ],
    ),
    (
        "pg:table-size",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:table-size", "-a", "example"],
        ],
    ),
    (
        "pg:total-index-size",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:total-index-size", "-a", "example"],
        ],
    ),
    (
        "pg:total-table-size",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:total-table-size", "-a", "example"],
        ],
    ),
    (
        "pg:unused-indexes",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:unused-indexes", "-a", "example"],
        ],
    ),
    (
        "pg:user-connections",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:user-connections", "-a", "example"],
        ],
    ),
    (
        "pg:vacuum-stats",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:vacuum-stats", "-a", "example"],
        ],
    ),
    (
        "pg:backups",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups", "-a", "example"],
        ],
    ),
    (
        "pg:backups:capture",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:capture", "--verify", "-a", "example"],
            &["pg:backups:capture", "-a", "bare"],
        ],
    ),
    (
        "pg:backups:info",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:info", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups:info", "b001", "-a", "example"],
            &["pg:backups:info", "b002", "-a", "example"],
        ],
    ),
    (
        "pg:backups:url",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:url", "b001", "-a", "example"],
        ],
    ),
    (
        "pg:backups:download",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups:download", "b001", "--output", "there/not.dump", "-a", "example"],
            &["pg:backups:download", "-a", "example"],
        ],
    ),
    (
        "pg:backups:restore",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups:restore", "-a", "example"],
            &["pg:backups:restore", "b001", "DATABASE", "--confirm", "example", "-a", "example"],
            &["pg:backups:restore", "b009", "--confirm", "example", "-a", "example"],
            &["pg:backups", "-a", "example"],
        ],
    ),
    (
        "pg:backups:verify",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups:verify", "b001", "-a", "example"],
            &["pg:backups:info", "b001", "-a", "example"],
        ],
    ),
    (
        "pg:backups:delete",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:capture", "-a", "example"],
            &["pg:backups:delete", "b001", "-a", "example"],
            &["pg:backups:delete", "b001", "--confirm", "example", "-a", "example"],
            &["pg:backups", "-a", "example"],
        ],
    ),
    (
        "pg:backups:cancel",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:cancel", "-a", "example"],
        ],
    ),
    (
        "pg:backups:schedule",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:schedule", "--at", "02:30", "-a", "example"],
            &["pg:backups:schedule", "--at", "02:00 Nowhere", "-a", "example"],
            &["pg:backups:schedule", "--at", "02:00 Europe/Berlin", "-a", "example"],
            &["pg:backups:schedules", "-a", "example"],
        ],
    ),
    (
        "pg:backups:schedules",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:schedules", "-a", "example"],
        ],
    ),
    (
        "pg:backups:unschedule",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["pg:backups:unschedule", "-a", "example"],
            &["pg:backups:schedule", "--at", "2", "-a", "example"],
            &["pg:backups:unschedule", "-a", "example"],
            &["pg:backups:schedules", "-a", "example"],
        ],
    ),
    (
        "pg:copy",
        &[
            &["addons:create", "postgresql", "--name", "books", "--wait", "-a", "example"],
            &["addons:create", "postgresql", "--name", "other", "--as", "OTHER", "--wait", "-a", "example"],
            &["pg:copy", "DATABASE", "OTHER", "--confirm", "example", "-a", "example"],
            &["pg:copy", "DATABASE", "DATABASE", "--confirm", "example", "-a", "example"],
            &["pg:backups", "-a", "example"],
        ],
    ),
    (
        "redis",
        &[
            &["addons:create", "redis", "--name", "jobs", "--wait", "-a", "example"],
            &["redis", "-a", "example"],
            &["redis", "-a", "bare"],
        ],
    ),
    (
        "redis:cli",
        &[
            &["addons:create", "redis", "--name", "jobs", "--wait", "-a", "example"],
            &["redis:cli", "-a", "example"],
        ],
    ),
    (
        "redis:credentials",
        &[
            &["addons:create", "redis", "--name", "jobs", "--wait", "-a", "example"],
            &["redis:credentials", "--reset", "-a", "example"],
            &["redis:credentials", "-a", "bare"],
        ],
    ),
    (
        "redis:promote",
        &[
            &["addons:create", "redis", "--name", "jobs", "--wait", "-a", "example"],
            &["redis:promote", "jobs", "-a", "example"],
        ],
    ),
    (
        "redis:wait",
        &[
            &["addons:create", "redis", "--name", "jobs", "--wait", "-a", "example"],
            &["redis:wait", "-a", "example"],
        ],
    ),
    (
        "webhooks",
        &[
            &["webhooks", "-a", "example"],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["webhooks", "-a", "example"],
        ],
    ),
    (
        "webhooks:add",
        &[
            &[
                "webhooks:add",
                "-i",
                "api:release,api:build",
                "-l",
                "notify",
                "-u",
                "http://hooks.example.com",
                "-a",
                "example",
            ],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com",
                "-s",
                "mine",
                "-a",
                "example",
            ],
            &[
                "webhooks:add",
                "-i",
                "api:moon",
                "-l",
                "notify",
                "-u",
                "https://hooks.example.com",
                "-a",
                "example",
            ],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "often",
                "-u",
                "https://hooks.example.com",
                "-a",
                "example",
            ],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "ftp://hooks.example.com",
                "-a",
                "example",
            ],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://me:x@hooks.example.com",
                "-a",
                "example",
            ],
            &["webhooks:add", "-l", "sync", "-u", "https://hooks.example.com", "-a", "example"],
        ],
    ),
    (
        "webhooks:info",
        &[
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["webhooks:info", "WEBHOOK", "-a", "example"],
            &["webhooks:info", "missing", "-a", "example"],
        ],
    ),
    (
        "webhooks:update",
        &[
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &[
                "webhooks:update",
                "WEBHOOK",
                "-i",
                "build",
                "-l",
                "notify",
                "-u",
                "https://other.example.com",
                "-a",
                "example",
            ],
            &["webhooks:info", "WEBHOOK", "-a", "example"],
            &[
                "webhooks:update",
                "missing",
                "-i",
                "build",
                "-l",
                "notify",
                "-u",
                "https://other.example.com",
                "-a",
                "example",
            ],
        ],
    ),
    (
        "webhooks:remove",
        &[
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["webhooks:remove", "WEBHOOK", "-a", "example"],
            &["webhooks:remove", "missing", "-a", "example"],
        ],
    ),
    (
        "webhooks:events",
        &[
            &["webhooks:events", "-a", "example"],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["config:set", "A=1", "-a", "example"],
            &["webhooks:events", "-a", "example"],
        ],
    ),
    (
        "webhooks:deliveries",
        &[
            &["webhooks:deliveries", "-a", "example"],
            &[
                "webhooks:add",
                "-i",
                "release",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["config:set", "A=1", "-a", "example"],
            &["webhooks:deliveries", "-a", "example"],
            &["webhooks:deliveries", "--status", "failed", "-a", "example"],
            &["webhooks:deliveries", "--status", "nonsense", "-a", "example"],
        ],
    ),
    (
        "webhooks:deliveries:info",
        &[
            &[
                "webhooks:add",
                "-i",
                "formation",
                "-l",
                "sync",
                "-u",
                "https://hooks.example.com/in",
                "-a",
                "example",
            ],
            &["ps:scale", "web=1", "-a", "example"],
            &["webhooks:deliveries:info", "DELIVERY", "-a", "example"],
            &["webhooks:deliveries:info", "missing", "-a", "example"],
        ],
    ),
    (
        "buildpacks",
        &[
            &["buildpacks", "-a", "example"],
            &["buildpacks:clear", "-a", "example"],
            &["buildpacks", "-a", "example"],
        ],
    ),
    (
        "buildpacks:set",
        &[
            &["buildpacks:set", "heroku/go", "-a", "example"],
            &["buildpacks:set", "--index", "2", "heroku/nodejs", "-a", "example"],
        ],
    ),
    (
        "buildpacks:add",
        &[
            &["buildpacks:add", "heroku/go", "-a", "example"],
            &["buildpacks:add", "--index", "1", "heroku/nodejs", "-a", "example"],
            &["buildpacks:add", "heroku/python", "-a", "example"],
        ],
    ),
    (
        "buildpacks:remove",
        &[
            &["buildpacks:remove", "heroku/go", "-a", "example"],
            &["buildpacks:remove", "heroku/python", "-a", "example"],
        ],
    ),
    (
        "buildpacks:clear",
        &[&["buildpacks:set", "heroku/python", "-a", "example"], &["buildpacks:clear", "-a", "example"]],
    ),
    (
        "scheduler",
        &[
            &["scheduler", "-a", "example"],
            &["scheduler:add", "--cron", "0 3 * * 1", "-a", "example", "rake tidy"],
            &["scheduler", "-a", "example"],
        ],
    ),
    (
        "scheduler:add",
        &[
            &["scheduler:add", "--every-10-minutes", "-a", "example", "rake tidy"],
            &["scheduler:add", "--daily", "3:30", "-a", "example", "rake tidy"],
            &["scheduler:add", "--cron", "nonsense", "-a", "example", "rake tidy"],
            &["scheduler:add", "-a", "example", "rake tidy"],
        ],
    ),
    (
        "scheduler:remove",
        &[
            &["scheduler:remove", "1", "-a", "example"],
            &["scheduler:add", "--every-10-minutes", "-a", "example", "rake tidy"],
            &["scheduler:remove", "1", "-a", "example"],
        ],
    ),
    (
        "scheduler:run",
        &[
            &["scheduler:run", "1", "-a", "example"],
            &["scheduler:add", "--daily", "3:30", "-a", "example", "rake tidy"],
            &["scheduler:run", "1", "-a", "example"],
        ],
    ),
    (
        "scheduler:runs",
        &[
            &["scheduler:runs", "1", "-a", "example"],
            &["scheduler:add", "--daily", "3:30", "-a", "example", "rake tidy"],
            &["scheduler:runs", "1", "-a", "example"],
            &["scheduler:run", "1", "-a", "example"],
            &["scheduler:runs", "1", "-a", "example"],
        ],
    ),
    ("builds", &[&["builds", "-a", "example"], &["builds", "-a", "bare"]]),
    ("builds:info", &[&["builds:info", "missing", "-a", "example"], &["builds:info", "-a", "bare"]]),
    (
        "builds:output",
        &[
            &["builds:output", "-a", "example"],
            &["builds:output", "missing", "-a", "example"],
            &["builds:output", "-a", "bare"],
        ],
    ),
    ("builds:cancel", &[&["builds:cancel", "-a", "example"], &["builds:cancel", "missing", "-a", "example"]]),
    (
        "builds:cache:purge",
        &[&["builds:cache:purge", "-a", "example"], &["builds:cache:purge", "-a", "nothing"]],
    ),
    (
        "deploy",
        &[
            &["deploy", "run", "-a", "bare", "--version-name", "first"],
            &["deploy", "missing", "-a", "bare"],
            &["deploy", "run", "--source-url", "https://example.com/", "-a", "bare"],
            &["deploy", "--source-url", "file:///etc/passwd", "-a", "bare"],
            &["deploy", "run", "-a", "nothing"],
        ],
    ),
    ("slugs:download", &[&["slugs:download", "-a", "bare"], &["slugs:download", "v99", "-a", "example"]]),
    (
        "ci:run",
        &[
            &["ci:run", "run", "-a", "bare"],
            &["ci:run", "run", "-a", "bare", "--json"],
            &["ci:run", "missing", "-a", "bare"],
            &["ci:run", "run", "-a", "nothing"],
            &["pipelines:create", "line", "-a", "bare", "-s", "staging"],
            &["ci:run", "run", "-a", "bare"],
            &["ci:run", "run", "-p", "line", "--json"],
            &["ci:run", "run", "-p", "nothing"],
        ],
    ),
    (
        "ci",
        &[
            &["ci", "-a", "example"],
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci", "-a", "example"],
            &["ci:run", "run", "-a", "example"],
            &["ci", "-p", "line"],
        ],
    ),
    (
        "ci:rerun",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:rerun", "-p", "line"],
            &["ci:run", "run", "-p", "line"],
            &["ci:rerun", "1", "-p", "line"],
        ],
    ),
    (
        "ci:info",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:run", "run", "-p", "line"],
            &["ci:info", "1", "-p", "line"],
            &["ci:info", "2", "-p", "line"],
        ],
    ),
    (
        "ci:last",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:last", "-p", "line"],
            &["ci:run", "run", "-p", "line"],
            &["ci:last", "-p", "line"],
        ],
    ),
    (
        "ci:config",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:config", "-p", "line"],
            &["ci:config:set", "KEY=a value", "-p", "line"],
            &["ci:config", "-a", "example"],
            &["ci:config", "-p", "line", "--shell"],
            &["ci:config", "-p", "line", "--json"],
        ],
    ),
    (
        "ci:config:get",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:config:set", "KEY=a value", "-p", "line"],
            &["ci:config:get", "KEY", "-p", "line"],
            &["ci:config:get", "KEY", "-p", "line", "--shell"],
            &["ci:config:get", "OTHER", "-p", "line"],
        ],
    ),
    (
        "ci:config:set",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:config:set", "KEY", "-p", "line"],
            &["ci:config:set", "KEY=1", "OTHER=2", "-p", "line"],
            &["ci:config:set", "=1", "-p", "line"],
        ],
    ),
    (
        "ci:config:unset",
        &[
            &["pipelines:create", "line", "-a", "example", "-s", "staging"],
            &["ci:config:set", "KEY=1", "-p", "line"],
            &["ci:config:unset", "KEY", "NONE", "-p", "line"],
            &["ci:config", "-p", "line"],
        ],
    ),
    (
        "sync",
        &[
            &["sync", "missing", "-a", "bare"],
            &["sync", "run", "--settle", "0", "-a", "bare"],
            &["sync", "run", "--now", "-a", "nothing"],
        ],
    ),
    (
        "github",
        &[
            &["github", "-a", "example"],
            &["github:connect", "--repo", "https://example.com/o/r.git", "-a", "example"],
            &["github", "-a", "example"],
        ],
    ),
    (
        "github:connect",
        &[
            &[
                "github:connect",
                "--repo",
                "https://me:secret@example.com/o/r.git",
                "--branch",
                "live",
                "-a",
                "example",
            ],
            &["github:connect", "--repo", "file:///srv/repo", "-a", "example"],
            &["github:connect", "--repo", "https://example.com/r", "--branch", "a..b", "-a", "example"],
            &["github:connect", "-a", "example"],
        ],
    ),
    (
        "github:disconnect",
        &[
            &["github:disconnect", "-a", "example"],
            &["github:connect", "--repo", "https://example.com/o/r.git", "-a", "example"],
            &["github:disconnect", "-a", "example"],
        ],
    ),
    (
        "github:deploys",
        &[
            &["github:deploys", "disable", "-a", "example"],
            &["github:connect", "--repo", "https://example.com/o/r.git", "-a", "example"],
            &["github:deploys", "disable", "-a", "example"],
            &["github", "-a", "example"],
            &["github:deploys", "sometimes", "-a", "example"],
        ],
    ),
    ("stack", &[&["stack", "-a", "example"]]),
    (
        "stack:set",
        &[&["stack:set", "cedar-13", "-a", "example"], &["stack:set", "nonsense", "-a", "example"]],
    ),
    ("stacks", &[&["stacks"]]),
    ("stacks:build", &[&["stacks:build", "nonsense"]]),
    (
        "stacks:import",
        &[
            &["stacks:import", "cedar-13", "none.tar"],
            &["stacks:import", "mine", "./none.tar"],
            &["stacks:import", "mine", "No Name"],
        ],
    ),
    (
        "git:remote",
        &[
            &["git:remote", "-a", "example"],
            &["git", "init", "-q"],
            &["git:remote", "-a", "example"],
            &["git", "remote", "-v"],
            &["info"],
            &["git:remote", "-a", "example", "--ssh-git"],
            &["git", "remote", "-v"],
            &["ps"],
            &["git:remote", "-a", "missing"],
        ],
    ),
    ("git:credentials", &[&["git:credentials", "get"], &["git:credentials", "store"]]),
    ("git:hook", &[&["git:hook"]]),
    ("access", &[&["access", "-a", "example"]]),
    (
        "access:add",
        &[
            &["users:create", "you@example.com"],
            &["access:add", "you@example.com", "-a", "example"],
            &["access:add", "nobody", "-a", "example"],
            &["access", "-a", "example"],
        ],
    ),
    (
        "access:update",
        &[
            &["access:update", "you@example.com", "--permissions", "view", "-a", "example"],
            &["users:create", "you@example.com"],
            &["access:add", "you@example.com", "-a", "example"],
            &["access:update", "you@example.com", "--permissions", "view", "-a", "example"],
            &["access:update", "you@example.com", "--permissions", "nonsense", "-a", "example"],
        ],
    ),
    (
        "access:remove",
        &[
            &["access:remove", "you@example.com", "-a", "example"],
            &["users:create", "you@example.com"],
            &["access:add", "you@example.com", "-a", "example"],
            &["access:remove", "you@example.com", "-a", "example"],
        ],
    ),
    (
        "login",
        &[
            &["login"],
            &["login", "--host", "http://localhost:1", "--email", "you@example.com", "--password-stdin"],
            &["login", "--host", "http://localhost:1"],
            &["login", "--host", "http://node.example.com"],
        ],
    ),
    ("logout", &[&["logout"], &["logout", "--host", "http://localhost:1"]]),
    ("tunnel", &[&["tunnel"], &["tunnel", "-oProxyCommand=x"]]),
    ("man", &[&["man", "login"], &["man", "nonsense"], &["man", "--dir", "nowhere"]]),
    ("releases:retry", &[&["releases:retry", "-a", "example"], &["releases:retry", "-a", "bare"]]),
    ("git", &[&["git"]]),
    ("ci", &[&["ci"]]),
    ("slugs", &[&["slugs"]]),
    ("auth", &[&["auth"]]),
    ("auth:whoami", &[&["auth:whoami"]]),
    ("auth:token", &[&["auth:token"]]),
    (
        "authorizations",
        &[
            &["authorizations"],
            &["authorizations:create", "--description", "for a test"],
            &["authorizations"],
        ],
    ),
    (
        "authorizations:create",
        &[
            &["authorizations:create", "--description", "for a test"],
            &["authorizations:create", "--scope", "nonsense"],
        ],
    ),
    (
        "authorizations:info",
        &[
            &["authorizations:info", "nonsense"],
            &["authorizations:create", "--description", "for a test"],
            &["authorizations:info", "AUTHORIZATION"],
        ],
    ),
    (
        "authorizations:revoke",
        &[
            &["authorizations:revoke", "nonsense"],
            &["authorizations:create", "--description", "for a test"],
            &["authorizations:revoke", "AUTHORIZATION"],
        ],
    ),
    ("users", &[&["users"], &["users:create", "you@example.com"], &["users"]]),
    (
        "users:create",
        &[
            &["users:create", "you@example.com"],
            &["users:create", "you@example.com"],
            &["users:create", "nobody"],
        ],
    ),
    (
        "users:password",
        &[
            &["users:password", "you@example.com"],
            &["users:create", "you@example.com"],
            &["users:password", "you@example.com"],
        ],
    ),
    (
        "users:destroy",
        &[
            &["users:destroy", "nobody@example.com"],
            &["users:create", "you@example.com"],
            &["users:destroy", "you@example.com"],
        ],
    ),
    ("heroku", &[&["heroku", "--env"]]),
    ("completions", &[&["completions", "bash"], &["completions", "nonsense"]]),
    ("wait", &[&["wait", "--timeout", "1"], &["wait", "--root", "nowhere", "--timeout", "1"]]),
    ("metrics", &[&["metrics"]]),
    (
        "apps:rename",
        &[
            &["apps:rename", "renamed", "-a", "example"],
            &["apps:rename", "bare", "-a", "renamed"],
            &["apps:rename", "No", "-a", "renamed"],
        ],
    ),
    (
        "domains",
        &[
            &["domains", "-a", "example"],
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains", "-a", "example"],
        ],
    ),
    (
        "domains:add",
        &[
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains:add", "www.example.com", "-a", "bare"],
            &["domains:add", "no domain", "-a", "example"],
        ],
    ),
    (
        "domains:info",
        &[
            &["domains:info", "www.example.com", "-a", "example"],
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains:info", "www.example.com", "-a", "example"],
        ],
    ),
    (
        "domains:remove",
        &[
            &["domains:remove", "www.example.com", "-a", "example"],
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains:remove", "www.example.com", "-a", "example"],
        ],
    ),
    (
        "domains:clear",
        &[&["domains:add", "www.example.com", "-a", "example"], &["domains:clear", "-a", "example"]],
    ),
    (
        "domains:wait",
        &[
            &["domains:wait", "-a", "example"],
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains:wait", "www.example.com", "-a", "example"],
        ],
    ),
    (
        "domains:update",
        &[
            &["domains:add", "www.example.com", "-a", "example"],
            &["domains:update", "www.example.com", "--cert", "calm-bay-12345", "-a", "example"],
        ],
    ),
    ("certs", &[&["certs", "-a", "example"], &["certs", "-a", "missing"]]),
    (
        "certs:add",
        &[
            &["certs:add", "nowhere.crt", "nowhere.key", "-a", "example"],
            &["certs:add", "id.pub", "id.pub", "-a", "example"],
            &["certs:add", "id.pub", "-a", "example"],
        ],
    ),
    (
        "certs:info",
        &[&["certs:info", "-a", "example"], &["certs:info", "--name", "calm-bay-12345", "-a", "example"]],
    ),
    (
        "certs:update",
        &[
            &["certs:update", "id.pub", "id.pub", "-a", "example"],
            &["certs:update", "id.pub", "id.pub", "--name", "calm-bay-12345", "-a", "example"],
        ],
    ),
    (
        "certs:remove",
        &[&["certs:remove", "-a", "example"], &["certs:remove", "--name", "calm-bay-12345", "-a", "example"]],
    ),
    ("certs:auto", &[&["certs:auto", "-a", "example"], &["certs:auto", "-a", "missing"]]),
    ("certs:auto:enable", &[&["certs:auto:enable", "-a", "example"]]),
    (
        "certs:auto:disable",
        &[
            &["certs:auto:disable", "-a", "example"],
            &["certs:auto:disable", "--confirm", "other", "-a", "example"],
            &["certs:auto:disable", "--confirm", "example", "-a", "example"],
        ],
    ),
    ("certs:auto:refresh", &[&["certs:auto:refresh", "-a", "example"]]),
    (
        "maintenance",
        &[
            &["maintenance", "-a", "example"],
            &["maintenance:on", "-a", "example"],
            &["maintenance", "-a", "example"],
        ],
    ),
    ("maintenance:on", &[&["maintenance:on", "-a", "example"], &["maintenance:on", "-a", "missing"]]),
    ("maintenance:off", &[&["maintenance:on", "-a", "example"], &["maintenance:off", "-a", "example"]]),
    (
        "authorizations:update",
        &[
            &["authorizations:create", "--description", "for a test"],
            &["authorizations:update", "AUTHORIZATION", "--description", "for another"],
            &["authorizations:update", "nonsense", "--description", "for another"],
        ],
    ),
    (
        "authorizations:rotate",
        &[
            &["authorizations:create", "--description", "for a test"],
            &["authorizations:rotate", "AUTHORIZATION"],
            &["authorizations:rotate", "nonsense"],
        ],
    ),
    ("keys", &[&["keys"], &["keys:add", "id.pub"], &["keys"]]),
    ("keys:add", &[&["keys:add"], &["keys:add", "id.pub"], &["keys:add", "missing.pub"]]),
    ("keys:remove", &[&["keys:remove", "me@laptop"], &["keys:add", "id.pub"], &["keys:remove", "me@laptop"]]),
    ("keys:clear", &[&["keys:add", "id.pub"], &["keys:clear"]]),
    ("version", &[&["version"]]),
];
