CREATE TABLE drains (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    token        TEXT NOT NULL UNIQUE,
    url          TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    UNIQUE (app_id, url)
) STRICT;
