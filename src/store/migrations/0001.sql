CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE apps (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    build_stack  TEXT NOT NULL,
    maintenance  INTEGER NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE TABLE slugs (
    digest                TEXT PRIMARY KEY,
    size_bytes            INTEGER NOT NULL,
    process_types         TEXT NOT NULL,
    buildpack_description TEXT,
    created_at_s          INTEGER NOT NULL
) STRICT;

CREATE TABLE releases (
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version       INTEGER NOT NULL,
    id            TEXT NOT NULL UNIQUE,
    description   TEXT NOT NULL,
    user          TEXT NOT NULL,
    status        TEXT NOT NULL,
    slug          TEXT REFERENCES slugs (digest),
    commit_id     TEXT,
    stack         TEXT NOT NULL,
    stack_version TEXT,
    process_types TEXT NOT NULL,
    config        TEXT NOT NULL,
    created_at_s  INTEGER NOT NULL,
    PRIMARY KEY (app_id, version)
) STRICT;

CREATE INDEX releases_by_slug ON releases (slug);

CREATE TABLE formation (
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    quantity     INTEGER NOT NULL,
    size         TEXT NOT NULL,
    PRIMARY KEY (app_id, process_type)
) STRICT;

CREATE TABLE builds (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    status        TEXT NOT NULL,
    commit_id     TEXT,
    user          TEXT NOT NULL,
    slug          TEXT,
    release       INTEGER,
    started_at_s  INTEGER NOT NULL,
    finished_at_s INTEGER,
    output_path   TEXT NOT NULL
) STRICT;

CREATE INDEX builds_by_app ON builds (app_id, started_at_s);

CREATE TABLE buildpacks (
    app_id   TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    url      TEXT NOT NULL,
    PRIMARY KEY (app_id, position)
) STRICT;
