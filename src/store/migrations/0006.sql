ALTER TABLE formation ADD COLUMN stop_grace_s INTEGER;

CREATE TABLE features (
    app_id  TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT;
