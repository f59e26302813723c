-- Runs of the tests of pipelines, and what their environment is.
CREATE TABLE test_runs (
    id             TEXT PRIMARY KEY,
    pipeline_id    TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    user           TEXT NOT NULL,
    commit_branch  TEXT NOT NULL,
    commit_message TEXT NOT NULL,
    commit_sha     TEXT NOT NULL,
    source_url     TEXT,
    status         TEXT NOT NULL,
    exit_code      INTEGER,
    message        TEXT,
    created_at_s   INTEGER NOT NULL,
    updated_at_s   INTEGER NOT NULL,
    UNIQUE (pipeline_id, number)
) STRICT;

CREATE TABLE stage_config (
    pipeline_id TEXT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    stage       TEXT NOT NULL,
    config      TEXT NOT NULL,
    PRIMARY KEY (pipeline_id, stage)
) STRICT;
