CREATE TABLE add_ons (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name         TEXT NOT NULL UNIQUE,
    service      TEXT NOT NULL,
    plan         TEXT NOT NULL,
    password     TEXT NOT NULL,
    slot         INTEGER NOT NULL UNIQUE,
    provisioned  INTEGER NOT NULL,
    created_at_s INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX add_ons_by_app ON add_ons (app_id);

CREATE TABLE attachments (
    id           TEXT PRIMARY KEY,
    add_on_id    TEXT NOT NULL REFERENCES add_ons (id) ON DELETE CASCADE,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

CREATE INDEX attachments_by_add_on ON attachments (add_on_id);
