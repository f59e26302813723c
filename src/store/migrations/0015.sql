-- How often what a service runs under was changed.
ALTER TABLE add_ons ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

-- What an app is losing: gone for everybody but for the release that takes its config var away.
ALTER TABLE attachments ADD COLUMN leaving INTEGER NOT NULL DEFAULT FALSE;
