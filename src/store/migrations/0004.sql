ALTER TABLE apps ADD COLUMN owner TEXT;

CREATE TABLE users (
    email        TEXT PRIMARY KEY,
    password     TEXT NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE TABLE authorizations (
    id           TEXT PRIMARY KEY,
    user         TEXT NOT NULL,
    description  TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    digest       TEXT NOT NULL UNIQUE,
    hint         TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    expires_at_s INTEGER
) STRICT;

CREATE INDEX authorizations_by_user ON authorizations (user);

CREATE TABLE collaborators (
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    user         TEXT NOT NULL,
    id           TEXT NOT NULL UNIQUE,
    permission   TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    PRIMARY KEY (app_id, user)
) STRICT;

CREATE INDEX collaborators_by_user ON collaborators (user);

CREATE TABLE domains (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    hostname     TEXT NOT NULL UNIQUE,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX domains_by_app ON domains (app_id);

CREATE TABLE ssh_keys (
    id           TEXT PRIMARY KEY,
    user         TEXT NOT NULL,
    blob         TEXT NOT NULL UNIQUE,
    public_key   TEXT NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX ssh_keys_by_user ON ssh_keys (user);
