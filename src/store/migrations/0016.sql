-- Backups of add-ons, and what was made from them. They outlive their add-on and go with their app.
CREATE TABLE transfers (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    add_on_id     TEXT NOT NULL,
    number        INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    is_scheduled  INTEGER NOT NULL,
    from_name     TEXT NOT NULL,
    to_name       TEXT NOT NULL,
    state         TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    digest        TEXT,
    message       TEXT,
    verified_at_s INTEGER,
    verify_fault  TEXT,
    created_at_s  INTEGER NOT NULL,
    finished_at_s INTEGER,
    UNIQUE (app_id, number)
) STRICT;

-- When backups are taken, one time of the day for an add-on.
CREATE TABLE backup_schedules (
    id          TEXT PRIMARY KEY,
    add_on_id   TEXT NOT NULL UNIQUE REFERENCES add_ons (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    hour        INTEGER NOT NULL,
    zone        TEXT NOT NULL,
    looked_at_s INTEGER NOT NULL
) STRICT;
