-- +goose Up
-- Which processes have an unfinished upload open. Each extends its rows until it closes the upload;
-- those of a process that was killed end by themselves.
CREATE TABLE IF NOT EXISTS holders (
    upload VARBINARY(16)  NOT NULL,
    grip   VARBINARY(255) NOT NULL, -- of the process
    ends   BIGINT         NOT NULL, -- milliseconds since 1970
    PRIMARY KEY (upload, grip),
    FOREIGN KEY (upload) REFERENCES uploads (id) ON DELETE CASCADE
) ENGINE = InnoDB;
