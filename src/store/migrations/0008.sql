CREATE TABLE webhooks (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    url           TEXT NOT NULL,
    include       TEXT NOT NULL,
    level         TEXT NOT NULL,
    secret        TEXT NOT NULL,
    authorization TEXT,
    created_at_s  INTEGER NOT NULL,
    updated_at_s  INTEGER NOT NULL
) STRICT;

CREATE INDEX webhooks_by_app ON webhooks (app_id);

CREATE TABLE webhook_events (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    entity       TEXT NOT NULL,
    payload      TEXT NOT NULL,
    created_at_s INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_events_by_app ON webhook_events (app_id, sequence);

CREATE TABLE webhook_deliveries (
    sequence             INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    app_id               TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    webhook_id           TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id             TEXT NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
    status               TEXT NOT NULL,
    attempts             INTEGER NOT NULL,
    next_attempt_at_s    INTEGER,
    attempt_id           TEXT,
    attempt_code         INTEGER,
    attempt_error        TEXT,
    attempt_created_at_s INTEGER,
    attempt_updated_at_s INTEGER,
    created_at_s         INTEGER NOT NULL,
    updated_at_s         INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_deliveries_by_app ON webhook_deliveries (app_id, sequence);
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at_s) WHERE next_attempt_at_s IS NOT NULL;
