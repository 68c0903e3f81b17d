-- +goose Up
-- Work that one process does at a time, by the clock of the database.
CREATE TABLE leases (
    name   BYTEA  NOT NULL PRIMARY KEY,
    holder BYTEA  NOT NULL,
    ends   BIGINT NOT NULL -- milliseconds since 1970
);
