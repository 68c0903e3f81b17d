-- +goose Up
-- Work that one process does at a time, by the clock of the database.
CREATE TABLE leases (
    name   BLOB   NOT NULL PRIMARY KEY,
    holder BLOB   NOT NULL,
    ends   BIGINT NOT NULL -- milliseconds since 1970
);
