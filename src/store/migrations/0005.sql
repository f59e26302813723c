CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    command      TEXT NOT NULL,
    size         TEXT NOT NULL,
    cadence      TEXT NOT NULL,
    zone         TEXT NOT NULL,
    overlap      TEXT NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_by_app ON jobs (app_id);

CREATE TABLE job_runs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id       INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    dyno_id      TEXT NOT NULL,
    dyno         TEXT,
    started_at_s INTEGER NOT NULL,
    ended_at_s   INTEGER,
    state        TEXT NOT NULL,
    exit_status  INTEGER,
    reason       TEXT
) STRICT;

CREATE INDEX job_runs_by_job ON job_runs (job_id, id);
