-- +goose Up
-- Which processes have an unfinished upload open. Each extends its rows until it closes the upload;
-- those of a process that was killed end by themselves.
CREATE TABLE holders (
    upload BLOB   NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    grip   BLOB   NOT NULL, -- of the process
    ends   BIGINT NOT NULL, -- milliseconds since 1970
    PRIMARY KEY (upload, grip)
);
