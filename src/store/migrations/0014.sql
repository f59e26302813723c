CREATE TABLE app_setups (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL,
    app_name        TEXT NOT NULL,
    user            TEXT NOT NULL,
    status          TEXT NOT NULL,
    failure         TEXT,
    manifest_errors TEXT NOT NULL,
    build           TEXT,
    output          TEXT,
    exit_code       INTEGER,
    success_url     TEXT,
    created_at_s    INTEGER NOT NULL,
    updated_at_s    INTEGER NOT NULL
) STRICT;
