ALTER TABLE builds ADD COLUMN source_url TEXT;
ALTER TABLE builds ADD COLUMN source_checksum TEXT;
ALTER TABLE builds ADD COLUMN source_description TEXT;
ALTER TABLE builds ADD COLUMN buildpacks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE builds ADD COLUMN timings_ms TEXT NOT NULL DEFAULT '{}';
