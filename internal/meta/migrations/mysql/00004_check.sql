-- +goose Up
-- Which names lead to a content, or to a folder: for a check of the store.
-- MySQL has no CREATE INDEX IF NOT EXISTS, and this may be run again after a crash.
SET @make = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'entries' AND index_name = 'entries_child') = 0,
    'CREATE INDEX entries_child ON entries (child)', 'DO 0');
PREPARE make FROM @make;
EXECUTE make;
DEALLOCATE PREPARE make;
