-- +goose Up
-- Which names lead to a content, or to a folder: for a check of the store.
CREATE INDEX entries_child ON entries (child);
