-- +goose Up
-- Times are milliseconds since 1970 in UTC; 0 means "not". Text is kept as
-- bytes: it is compared byte by byte, and no character set changes it.
CREATE TABLE users (
    name       BYTEA   NOT NULL PRIMARY KEY,
    admin      BOOLEAN NOT NULL,
    password   BYTEA   NOT NULL, -- argon2id in PHC form, '' until the first enrollment
    created_at BIGINT  NOT NULL,
    locked_at  BIGINT  NOT NULL,
    removed_at BIGINT  NOT NULL
);

-- A device has a row once it was locked, also after it is unlocked.
CREATE TABLE devices (
    user_name BYTEA  NOT NULL REFERENCES users (name),
    name      BYTEA  NOT NULL,
    locked_at BIGINT NOT NULL,
    PRIMARY KEY (user_name, name)
);

CREATE TABLE certificates (
    serial      BYTEA  NOT NULL PRIMARY KEY, -- lower-case hex
    fingerprint BYTEA  NOT NULL,             -- SHA-256 of the DER
    lineage     BYTEA  NOT NULL,             -- serial of the first certificate that this one renews
    spki        BYTEA  NOT NULL,             -- SHA-256 of the public key
    cert_use    BYTEA  NOT NULL,             -- client | server
    user_name   BYTEA  NOT NULL,             -- '' for a server
    device      BYTEA  NOT NULL,             -- '' for a server
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    issued_at   BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL,
    reason      BYTEA  NOT NULL,
    der         BYTEA  NOT NULL
);
CREATE INDEX certificates_user ON certificates (user_name, device);
CREATE INDEX certificates_lineage ON certificates (lineage);

CREATE TABLE invitations (
    secret_hash BYTEA   NOT NULL PRIMARY KEY, -- SHA-256 of 160 random bits
    user_name   BYTEA   NOT NULL REFERENCES users (name),
    admin       BOOLEAN NOT NULL,             -- the role that was meant
    created_at  BIGINT  NOT NULL,
    expires_at  BIGINT  NOT NULL,
    used_at     BIGINT  NOT NULL,
    used_spki   BYTEA   NOT NULL,
    used_serial BYTEA   NOT NULL
);
CREATE INDEX invitations_user ON invitations (user_name);

CREATE TABLE logins (
    token_hash BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 of 256 random bits
    lineage    BYTEA  NOT NULL,
    user_name  BYTEA  NOT NULL,
    device     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    last_used  BIGINT NOT NULL
);
CREATE INDEX logins_user ON logins (user_name);

CREATE TABLE attempts (
    key      BYTEA  NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    until    BIGINT NOT NULL -- no attempt is judged before
);

-- One row. It changes with every change that a server keeps in memory, and the
-- writers of all servers take turns at it.
CREATE TABLE epoch (
    id      SMALLINT NOT NULL PRIMARY KEY,
    counter BIGINT   NOT NULL,
    random  BYTEA    NOT NULL -- a restored backup repeats counters
);
INSERT INTO epoch (id, counter, random) VALUES (1, 0, '');
