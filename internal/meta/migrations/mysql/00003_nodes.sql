-- +goose Up
-- The servers that share the database. Each writes what it knows twice a second.
CREATE TABLE IF NOT EXISTS nodes (
    id         VARBINARY(16)   NOT NULL PRIMARY KEY, -- of one run
    folder     VARBINARY(32)   NOT NULL,             -- a digest of where its data folder is
    address    VARBINARY(1024) NOT NULL,
    program    VARBINARY(255)  NOT NULL,             -- the version of its program
    root       VARBINARY(32)   NOT NULL,             -- SHA-256 of its root CA
    files      VARBINARY(4096) NOT NULL,             -- where its files are
    counter    BIGINT          NOT NULL,             -- the last version that it acts on
    random     VARBINARY(16)   NOT NULL,
    beat_at    BIGINT          NOT NULL,             -- when that was the current one, by the clock of the database
    started_at BIGINT          NOT NULL              -- by the clock of the database
) ENGINE = InnoDB;
