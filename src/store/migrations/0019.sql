-- Certificates that the node gets by itself.
ALTER TABLE apps ADD COLUMN acm INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sni_endpoints ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0;

-- One order a domain, from the first wish for a certificate to its last renewal.
CREATE TABLE certificate_orders (
    domain_id    TEXT PRIMARY KEY REFERENCES domains (id) ON DELETE CASCADE,
    app_id       TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    stage        TEXT NOT NULL,
    url          TEXT,
    private_key  TEXT,
    failures     INTEGER NOT NULL,
    fault        TEXT,
    detail       TEXT,
    expires_at_s INTEGER,
    due_at_s     INTEGER NOT NULL,
    updated_at_s INTEGER NOT NULL
) STRICT;

-- When orders were placed, for as long as that counts. What is gone counts on.
CREATE TABLE certificate_order_starts (
    app_id TEXT NOT NULL,
    at_s   INTEGER NOT NULL
) STRICT;

-- Accounts with authorities, with their keys.
CREATE TABLE acme_accounts (
    directory   TEXT PRIMARY KEY,
    contact     TEXT,
    credentials TEXT NOT NULL
) STRICT;
