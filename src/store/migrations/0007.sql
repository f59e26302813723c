CREATE TABLE pipelines (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    owner        TEXT,
    created_at_s INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL
) STRICT;

CREATE TABLE couplings (
    app_id       TEXT PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    pipeline_id  TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    id           TEXT NOT NULL UNIQUE,
    stage        TEXT NOT NULL,
    created_at_s INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX couplings_by_pipeline ON couplings (pipeline_id);

CREATE TABLE promotions (
    id           TEXT PRIMARY KEY,
    pipeline_id  TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    source_id    TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id   TEXT NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX promotions_by_pipeline ON promotions (pipeline_id);
CREATE INDEX promotions_by_source ON promotions (source_id);

CREATE TABLE promotion_targets (
    id            TEXT PRIMARY KEY,
    promotion_id  TEXT NOT NULL REFERENCES promotions (id) ON DELETE CASCADE,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id    TEXT REFERENCES releases (id) ON DELETE CASCADE,
    error_message TEXT
) STRICT;

CREATE INDEX promotion_targets_by_promotion ON promotion_targets (promotion_id);
CREATE INDEX promotion_targets_by_app ON promotion_targets (app_id);
CREATE INDEX promotion_targets_by_release ON promotion_targets (release_id);
