CREATE TABLE routing (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT;
