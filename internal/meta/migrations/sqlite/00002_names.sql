-- +goose Up
-- Names of a store whose bytes are objects. Ids are 16 bytes, '' means none. Those of
-- folders and versions begin with the time in milliseconds, so that those of one group are next to
-- each other; those of contents and uploads are random. Times of files
-- are nanoseconds since 1970, all others milliseconds.
CREATE TABLE trees (
    root BLOB NOT NULL PRIMARY KEY, -- the folder at its top
    name BLOB NOT NULL,
    UNIQUE (name)
);

-- The attributes of a folder. Its name is in the entry that leads to it; a root has none.
CREATE TABLE folders (
    id      BLOB    NOT NULL PRIMARY KEY,
    parent  BLOB    NOT NULL,
    mode    INTEGER NOT NULL,
    mtime   INTEGER NOT NULL,
    by_user BLOB    NOT NULL,
    gone_at INTEGER NOT NULL -- removed from its tree with everything in it; 0 means not
);
CREATE INDEX folders_parent ON folders (parent);
CREATE INDEX folders_gone ON folders (gone_at);

CREATE TABLE entries (
    folder  BLOB    NOT NULL,
    name    BLOB    NOT NULL,
    kind    INTEGER NOT NULL, -- 1 file, 2 folder, 3 link
    child   BLOB    NOT NULL, -- of a folder its id, of a file its content
    size    INTEGER NOT NULL,
    layout  INTEGER NOT NULL, -- of the content
    mode    INTEGER NOT NULL,
    mtime   INTEGER NOT NULL,
    digest  BLOB    NOT NULL, -- '' if it is not known
    target  BLOB    NOT NULL, -- of a link
    by_user BLOB    NOT NULL,
    upload  BLOB    NOT NULL,
    version BLOB    NOT NULL, -- another one after each change
    PRIMARY KEY (folder, name)
);
CREATE INDEX entries_version ON entries (version);

-- The bytes of files. States follow one another and never go back: 1 open, 2 live, 3 dead,
-- 4 removed.
CREATE TABLE contents (
    id         BLOB    NOT NULL PRIMARY KEY,
    size       INTEGER NOT NULL,
    layout     INTEGER NOT NULL, -- 0 in this row, 1 one object, otherwise the size of its units
    refs       INTEGER NOT NULL, -- names that have it
    state      INTEGER NOT NULL,
    changed_at INTEGER NOT NULL, -- when it took its state
    voided     INTEGER NOT NULL, -- how often a unit that had arrived was given up
    bytes      BLOB    NOT NULL
);
CREATE INDEX contents_state ON contents (state, changed_at);

-- An unfinished upload. Its content has the same id.
CREATE TABLE uploads (
    id          BLOB    NOT NULL PRIMARY KEY,
    tree        BLOB    NOT NULL,
    key_hash    BLOB    NOT NULL, -- of path, size, source and owner
    place_hash  BLOB    NOT NULL, -- of path and owner
    path        BLOB    NOT NULL,
    size        INTEGER NOT NULL,
    source      BLOB    NOT NULL,
    owner       BLOB    NOT NULL,
    into_folder BLOB    NOT NULL, -- '' before the first chunk
    opened_at   INTEGER NOT NULL,
    UNIQUE (tree, key_hash)
);
CREATE INDEX uploads_place ON uploads (tree, place_hash);
CREATE INDEX uploads_into ON uploads (into_folder);

CREATE TABLE units (
    content  BLOB    NOT NULL,
    number   INTEGER NOT NULL,
    object   BLOB    NOT NULL, -- the end of its key, '' for zeros, which have no object
    cvs      BLOB    NOT NULL, -- the chaining values of its chunks
    added_at INTEGER NOT NULL,
    PRIMARY KEY (content, number)
);

-- Each change of names leaves its id: after a COMMIT without an answer it tells whether the
-- change was made. SQLite always answers and leaves this table empty.
CREATE TABLE stamps (
    id      BLOB    NOT NULL PRIMARY KEY,
    made_at INTEGER NOT NULL
);
CREATE INDEX stamps_made ON stamps (made_at);

-- One row: the name of the installation, which is also in its bucket.
CREATE TABLE installation (
    id   INTEGER NOT NULL PRIMARY KEY,
    name BLOB    NOT NULL
);
