CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections (id),
    name TEXT NOT NULL,                  -- the absolute path of a file
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,                -- of its content at the reading that counts; this and all below
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    tags TEXT NOT NULL,                  -- a JSON array of strings, sorted
    label TEXT NOT NULL,
    recipe INTEGER NOT NULL,             -- how files were read and split then
    reading INTEGER NOT NULL,            -- counts the readings; 0: none has come to its end
    added REAL NOT NULL,                 -- when that was,
    seen REAL NOT NULL,                  -- and when the file was last found to be still so
    UNIQUE (collection, name)
);
-- Which passages a source gave. The same text in two of them is one passage; it goes with the last.
CREATE TABLE source_passages (
    source INTEGER NOT NULL REFERENCES sources (id),
    reading INTEGER NOT NULL,            -- another than that of the source: it is being read, or was not to its end
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    meta TEXT NOT NULL,
    PRIMARY KEY (source, reading, key)
) WITHOUT ROWID;
CREATE INDEX source_passages_by_key ON source_passages (key);
