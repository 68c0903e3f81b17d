-- +goose Up
-- Times are milliseconds since 1970 in UTC; 0 means "not".
CREATE TABLE users (
    name       TEXT    NOT NULL PRIMARY KEY,
    admin      INTEGER NOT NULL,
    password   TEXT    NOT NULL, -- argon2id in PHC form, '' until the first enrollment
    created_at INTEGER NOT NULL,
    locked_at  INTEGER NOT NULL,
    removed_at INTEGER NOT NULL
);

-- A device has a row once it was locked, also after it is unlocked.
CREATE TABLE devices (
    user_name TEXT    NOT NULL REFERENCES users (name),
    name      TEXT    NOT NULL,
    locked_at INTEGER NOT NULL,
    PRIMARY KEY (user_name, name)
);

CREATE TABLE certificates (
    serial      TEXT    NOT NULL PRIMARY KEY, -- lower-case hex
    fingerprint BLOB    NOT NULL,             -- SHA-256 of the DER
    lineage     TEXT    NOT NULL,             -- serial of the first certificate that this one renews
    spki        BLOB    NOT NULL,             -- SHA-256 of the public key
    cert_use    TEXT    NOT NULL,             -- client | server
    user_name   TEXT    NOT NULL,             -- '' for a server
    device      TEXT    NOT NULL,             -- '' for a server
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    issued_at   INTEGER NOT NULL,
    revoked_at  INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    der         BLOB    NOT NULL
);
CREATE INDEX certificates_user ON certificates (user_name, device);
CREATE INDEX certificates_lineage ON certificates (lineage);

CREATE TABLE invitations (
    secret_hash BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of 160 random bits
    user_name   TEXT    NOT NULL REFERENCES users (name),
    admin       INTEGER NOT NULL,             -- the role that was meant
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    used_spki   BLOB    NOT NULL,
    used_serial TEXT    NOT NULL
);
CREATE INDEX invitations_user ON invitations (user_name);

CREATE TABLE logins (
    token_hash BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of 256 random bits
    lineage    TEXT    NOT NULL,
    user_name  TEXT    NOT NULL,
    device     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    last_used  INTEGER NOT NULL
);
CREATE INDEX logins_user ON logins (user_name);

CREATE TABLE attempts (
    key      TEXT    NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    until    INTEGER NOT NULL -- no attempt is judged before
);
