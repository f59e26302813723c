CREATE TABLE sni_endpoints (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    chain        TEXT NOT NULL,
    private_key  TEXT NOT NULL,
    trusted      INTEGER NOT NULL,
    created_at_s INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

ALTER TABLE domains ADD COLUMN sni_endpoint_id TEXT REFERENCES sni_endpoints (id) ON DELETE SET NULL;

CREATE INDEX domains_by_sni_endpoint ON domains (sni_endpoint_id);
