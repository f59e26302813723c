-- The number that an app's newest transfer was given: a number never comes back, whatever becomes of what had it.
CREATE TABLE transfer_numbers (
    app_id TEXT PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    last   INTEGER NOT NULL
) STRICT;
INSERT INTO transfer_numbers (app_id, last) SELECT app_id, max(number) FROM transfers GROUP BY app_id;

-- Each look at transfers is at those of an app, of an add-on, or at one.
CREATE INDEX transfers_of_app ON transfers (app_id, created_at_s);
CREATE INDEX transfers_of_add_on ON transfers (add_on_id, kind, created_at_s);

-- The add-on whose contents another one is given before it is its app's.
ALTER TABLE add_ons ADD COLUMN fork_of TEXT;
