-- +goose Up
-- Times are milliseconds since 1970 in UTC; 0 means "not". Text is kept as
-- bytes: it is compared byte by byte, and no character set changes it. Each
-- statement commits by itself here, and may be run again after a crash.
CREATE TABLE IF NOT EXISTS users (
    name       VARBINARY(768)  NOT NULL PRIMARY KEY,
    admin      BOOLEAN         NOT NULL,
    password   VARBINARY(1024) NOT NULL, -- argon2id in PHC form, '' until the first enrollment
    created_at BIGINT          NOT NULL,
    locked_at  BIGINT          NOT NULL,
    removed_at BIGINT          NOT NULL
) ENGINE = InnoDB;

-- A device has a row once it was locked, also after it is unlocked.
CREATE TABLE IF NOT EXISTS devices (
    user_name VARBINARY(768) NOT NULL,
    name      VARBINARY(768) NOT NULL,
    locked_at BIGINT         NOT NULL,
    PRIMARY KEY (user_name, name),
    FOREIGN KEY (user_name) REFERENCES users (name)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS certificates (
    serial      VARBINARY(768)  NOT NULL PRIMARY KEY, -- lower-case hex
    fingerprint VARBINARY(32)   NOT NULL,             -- SHA-256 of the DER
    lineage     VARBINARY(768)  NOT NULL,             -- serial of the first certificate that this one renews
    spki        VARBINARY(32)   NOT NULL,             -- SHA-256 of the public key
    cert_use    VARBINARY(255)  NOT NULL,             -- client | server
    user_name   VARBINARY(768)  NOT NULL,             -- '' for a server
    device      VARBINARY(768)  NOT NULL,             -- '' for a server
    not_before  BIGINT          NOT NULL,
    not_after   BIGINT          NOT NULL,
    issued_at   BIGINT          NOT NULL,
    revoked_at  BIGINT          NOT NULL,
    reason      VARBINARY(1024) NOT NULL,
    der         MEDIUMBLOB      NOT NULL,
    INDEX certificates_user (user_name, device),
    INDEX certificates_lineage (lineage)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS invitations (
    secret_hash VARBINARY(32)  NOT NULL PRIMARY KEY, -- SHA-256 of 160 random bits
    user_name   VARBINARY(768) NOT NULL,
    admin       BOOLEAN        NOT NULL,             -- the role that was meant
    created_at  BIGINT         NOT NULL,
    expires_at  BIGINT         NOT NULL,
    used_at     BIGINT         NOT NULL,
    used_spki   VARBINARY(32)  NOT NULL,
    used_serial VARBINARY(768) NOT NULL,
    INDEX invitations_user (user_name),
    FOREIGN KEY (user_name) REFERENCES users (name)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS logins (
    token_hash VARBINARY(32)  NOT NULL PRIMARY KEY, -- SHA-256 of 256 random bits
    lineage    VARBINARY(768) NOT NULL,
    user_name  VARBINARY(768) NOT NULL,
    device     VARBINARY(768) NOT NULL,
    created_at BIGINT         NOT NULL,
    last_used  BIGINT         NOT NULL,
    INDEX logins_user (user_name)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS attempts (
    `key`    VARBINARY(2048) NOT NULL PRIMARY KEY,
    failures BIGINT          NOT NULL,
    last_at  BIGINT          NOT NULL,
    until    BIGINT          NOT NULL -- no attempt is judged before
) ENGINE = InnoDB;

-- One row. It changes with every change that a server keeps in memory, and the
-- writers of all servers take turns at it.
CREATE TABLE IF NOT EXISTS epoch (
    id      SMALLINT      NOT NULL PRIMARY KEY,
    counter BIGINT        NOT NULL,
    random  VARBINARY(32) NOT NULL -- a restored backup repeats counters
) ENGINE = InnoDB;
INSERT IGNORE INTO epoch (id, counter, random) VALUES (1, 0, '');
