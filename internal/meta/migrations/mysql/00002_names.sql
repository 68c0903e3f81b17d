-- +goose Up
-- Names of a store whose bytes are objects. Ids are 16 bytes, '' means none. Those of
-- folders and versions begin with the time in milliseconds, so that those of one group are next to
-- each other; those of contents and uploads are random. Times of files
-- are nanoseconds since 1970, all others milliseconds.
-- Each statement commits by itself here, and may be run again after a crash.
CREATE TABLE IF NOT EXISTS trees (
    root VARBINARY(16)  NOT NULL PRIMARY KEY, -- the folder at its top
    name VARBINARY(768) NOT NULL,
    UNIQUE (name)
) ENGINE = InnoDB;

-- The attributes of a folder. Its name is in the entry that leads to it; a root has none.
CREATE TABLE IF NOT EXISTS folders (
    id      VARBINARY(16)  NOT NULL PRIMARY KEY,
    parent  VARBINARY(16)  NOT NULL,
    mode    SMALLINT       NOT NULL,
    mtime   BIGINT         NOT NULL,
    by_user VARBINARY(768) NOT NULL,
    gone_at BIGINT         NOT NULL, -- removed from its tree with everything in it; 0 means not
    INDEX folders_parent (parent),
    INDEX folders_gone (gone_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS entries (
    folder  VARBINARY(16)  NOT NULL,
    name    VARBINARY(255) NOT NULL,
    kind    SMALLINT       NOT NULL, -- 1 file, 2 folder, 3 link
    child   VARBINARY(16)  NOT NULL, -- of a folder its id, of a file its content
    size    BIGINT         NOT NULL,
    layout  BIGINT         NOT NULL, -- of the content
    mode    SMALLINT       NOT NULL,
    mtime   BIGINT         NOT NULL,
    digest  VARBINARY(32)  NOT NULL, -- '' if it is not known
    target  BLOB           NOT NULL, -- of a link
    by_user VARBINARY(768) NOT NULL,
    upload  VARBINARY(255) NOT NULL,
    version VARBINARY(16)  NOT NULL, -- another one after each change
    PRIMARY KEY (folder, name),
    INDEX entries_version (version)
) ENGINE = InnoDB;

-- The bytes of files. States follow one another and never go back: 1 open, 2 live, 3 dead,
-- 4 removed.
CREATE TABLE IF NOT EXISTS contents (
    id         VARBINARY(16) NOT NULL PRIMARY KEY,
    size       BIGINT        NOT NULL,
    layout     BIGINT        NOT NULL, -- 0 in this row, 1 one object, otherwise the size of its units
    refs       BIGINT        NOT NULL, -- names that have it
    state      SMALLINT      NOT NULL,
    changed_at BIGINT        NOT NULL, -- when it took its state
    voided     BIGINT        NOT NULL, -- how often a unit that had arrived was given up
    bytes      BLOB          NOT NULL,
    INDEX contents_state (state, changed_at)
) ENGINE = InnoDB;

-- An unfinished upload. Its content has the same id.
CREATE TABLE IF NOT EXISTS uploads (
    id          VARBINARY(16) NOT NULL PRIMARY KEY,
    tree        VARBINARY(16) NOT NULL,
    key_hash    VARBINARY(32) NOT NULL, -- of path, size, source and owner
    place_hash  VARBINARY(32) NOT NULL, -- of path and owner
    path        BLOB          NOT NULL,
    size        BIGINT        NOT NULL,
    source      BLOB          NOT NULL,
    owner       BLOB          NOT NULL,
    into_folder VARBINARY(16) NOT NULL, -- '' before the first chunk
    opened_at   BIGINT        NOT NULL,
    UNIQUE (tree, key_hash),
    INDEX uploads_place (tree, place_hash),
    INDEX uploads_into (into_folder)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS units (
    content  VARBINARY(16)   NOT NULL,
    number   BIGINT          NOT NULL,
    object   VARBINARY(255)  NOT NULL, -- the end of its key, '' for zeros, which have no object
    cvs      VARBINARY(2048) NOT NULL, -- the chaining values of its chunks
    added_at BIGINT          NOT NULL,
    PRIMARY KEY (content, number)
) ENGINE = InnoDB;

-- Each change of names leaves its id: after a COMMIT without an answer it tells whether the
-- change was made.
CREATE TABLE IF NOT EXISTS stamps (
    id      VARBINARY(16) NOT NULL PRIMARY KEY,
    made_at BIGINT        NOT NULL,
    INDEX stamps_made (made_at)
) ENGINE = InnoDB;

-- One row: the name of the installation, which is also in its bucket.
CREATE TABLE IF NOT EXISTS installation (
    id   SMALLINT       NOT NULL PRIMARY KEY,
    name VARBINARY(768) NOT NULL
) ENGINE = InnoDB;
