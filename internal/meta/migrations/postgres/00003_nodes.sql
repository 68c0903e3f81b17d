-- +goose Up
-- The servers that share the database. Each writes what it knows twice a second.
CREATE TABLE nodes (
    id         BYTEA  NOT NULL PRIMARY KEY, -- of one run
    folder     BYTEA  NOT NULL,             -- a digest of where its data folder is
    address    BYTEA  NOT NULL,
    program    BYTEA  NOT NULL,             -- the version of its program
    root       BYTEA  NOT NULL,             -- SHA-256 of its root CA
    files      BYTEA  NOT NULL,             -- where its files are
    counter    BIGINT NOT NULL,             -- the last version that it acts on
    random     BYTEA  NOT NULL,
    beat_at    BIGINT NOT NULL,             -- when that was the current one, by the clock of the database
    started_at BIGINT NOT NULL              -- by the clock of the database
);
