-- Every name under which an app has had an add-on. A config var of an old release that has such a name, and says where that add-on is,
-- was the add-on's. It outlives attachment and add-on, as old releases do, and goes with the app.
CREATE TABLE attached_once (
    app_id    TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    add_on_id TEXT NOT NULL,
    name      TEXT NOT NULL,
    PRIMARY KEY (app_id, add_on_id, name)
) STRICT, WITHOUT ROWID;

INSERT INTO attached_once (app_id, add_on_id, name) SELECT app_id, add_on_id, name FROM attachments;
