-- +goose Up
-- Names of a store whose bytes are objects. Ids are 16 bytes, '' means none. Those of
-- folders and versions begin with the time in milliseconds, so that those of one group are next to
-- each other; those of contents and uploads are random. Times of files
-- are nanoseconds since 1970, all others milliseconds.
CREATE TABLE trees (
    root BYTEA NOT NULL PRIMARY KEY, -- the folder at its top
    name BYTEA NOT NULL,
    UNIQUE (name)
);

-- The attributes of a folder. Its name is in the entry that leads to it; a root has none.
CREATE TABLE folders (
    id      BYTEA    NOT NULL PRIMARY KEY,
    parent  BYTEA    NOT NULL,
    mode    SMALLINT NOT NULL,
    mtime   BIGINT   NOT NULL,
    by_user BYTEA    NOT NULL,
    gone_at BIGINT   NOT NULL -- removed from its tree with everything in it; 0 means not
);
CREATE INDEX folders_parent ON folders (parent);
CREATE INDEX folders_gone ON folders (gone_at);

CREATE TABLE entries (
    folder  BYTEA    NOT NULL,
    name    BYTEA    NOT NULL,
    kind    SMALLINT NOT NULL, -- 1 file, 2 folder, 3 link
    child   BYTEA    NOT NULL, -- of a folder its id, of a file its content
    size    BIGINT   NOT NULL,
    layout  BIGINT   NOT NULL, -- of the content
    mode    SMALLINT NOT NULL,
    mtime   BIGINT   NOT NULL,
    digest  BYTEA    NOT NULL, -- '' if it is not known
    target  BYTEA    NOT NULL, -- of a link
    by_user BYTEA    NOT NULL,
    upload  BYTEA    NOT NULL,
    version BYTEA    NOT NULL, -- another one after each change
    PRIMARY KEY (folder, name)
);
CREATE INDEX entries_version ON entries (version);

-- The bytes of files. States follow one another and never go back: 1 open, 2 live, 3 dead,
-- 4 removed.
CREATE TABLE contents (
    id         BYTEA    NOT NULL PRIMARY KEY,
    size       BIGINT   NOT NULL,
    layout     BIGINT   NOT NULL, -- 0 in this row, 1 one object, otherwise the size of its units
    refs       BIGINT   NOT NULL, -- names that have it
    state      SMALLINT NOT NULL,
    changed_at BIGINT   NOT NULL, -- when it took its state
    voided     BIGINT   NOT NULL, -- how often a unit that had arrived was given up
    bytes      BYTEA    NOT NULL
);
CREATE INDEX contents_state ON contents (state, changed_at);

-- An unfinished upload. Its content has the same id.
CREATE TABLE uploads (
    id          BYTEA  NOT NULL PRIMARY KEY,
    tree        BYTEA  NOT NULL,
    key_hash    BYTEA  NOT NULL, -- of path, size, source and owner
    place_hash  BYTEA  NOT NULL, -- of path and owner
    path        BYTEA  NOT NULL,
    size        BIGINT NOT NULL,
    source      BYTEA  NOT NULL,
    owner       BYTEA  NOT NULL,
    into_folder BYTEA  NOT NULL, -- '' before the first chunk
    opened_at   BIGINT NOT NULL,
    UNIQUE (tree, key_hash)
);
CREATE INDEX uploads_place ON uploads (tree, place_hash);
CREATE INDEX uploads_into ON uploads (into_folder);

CREATE TABLE units (
    content  BYTEA  NOT NULL,
    number   BIGINT NOT NULL,
    object   BYTEA  NOT NULL, -- the end of its key, '' for zeros, which have no object
    cvs      BYTEA  NOT NULL, -- the chaining values of its chunks
    added_at BIGINT NOT NULL,
    PRIMARY KEY (content, number)
);

-- Each change of names leaves its id: after a COMMIT without an answer it tells whether the
-- change was made.
CREATE TABLE stamps (
    id      BYTEA  NOT NULL PRIMARY KEY,
    made_at BIGINT NOT NULL
);
CREATE INDEX stamps_made ON stamps (made_at);

-- One row: the name of the installation, which is also in its bucket.
CREATE TABLE installation (
    id   SMALLINT NOT NULL PRIMARY KEY,
    name BYTEA    NOT NULL
);
