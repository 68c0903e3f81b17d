-- +goose Up
-- Work that one process does at a time, by the clock of the database.
CREATE TABLE IF NOT EXISTS leases (
    name   VARBINARY(64)  NOT NULL PRIMARY KEY,
    holder VARBINARY(255) NOT NULL,
    ends   BIGINT         NOT NULL -- milliseconds since 1970
) ENGINE = InnoDB;
