CREATE TABLE repositories (
    app_id       TEXT PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    id           TEXT NOT NULL UNIQUE,
    url          TEXT NOT NULL,
    branch       TEXT NOT NULL,
    secret       TEXT NOT NULL,
    user         TEXT NOT NULL,
    automatic    INTEGER NOT NULL,
    asked        INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    commit_id    TEXT,
    outcome      TEXT,
    created_at_s INTEGER NOT NULL
) STRICT;
