CREATE TABLE release_phases (
    app_id  TEXT NOT NULL,
    version INTEGER NOT NULL,
    dyno_id TEXT NOT NULL,
    dyno    TEXT NOT NULL,
    PRIMARY KEY (app_id, version),
    FOREIGN KEY (app_id, version) REFERENCES releases (app_id, version) ON DELETE CASCADE
) STRICT;
