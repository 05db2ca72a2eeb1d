CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,                  -- the absolute path of a file
    kind TEXT NOT NULL,
    content TEXT NOT NULL,               -- a hash of it at the reading that counts; "" while it is read
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    tags TEXT NOT NULL,                  -- a JSON array of strings, sorted
    label TEXT NOT NULL,
    recipe INTEGER NOT NULL,             -- how files were read and split then
    reading INTEGER NOT NULL,            -- counts the readings; 0: none has come to its end
    added REAL NOT NULL,                 -- when that was,
    seen REAL NOT NULL,                  -- and when the file was last found to be still so
    digest INTEGER AS (
        digest(id, collection, name, kind, content, size, mtime_ns, tags, label, recipe, reading, added, seen)
    ) STORED,
    UNIQUE (collection, name)
);
-- Which passages a source gave. The same text in two of them is one passage; it goes with the last.
CREATE TABLE source_passages (
    source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    reading INTEGER NOT NULL,            -- another than that of the source: it is being read, or was not to its end
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    meta TEXT NOT NULL,
    digest INTEGER AS (digest(source, reading, key, title, meta)) STORED,
    PRIMARY KEY (source, reading, key)
) WITHOUT ROWID;
CREATE INDEX source_passages_by_key ON source_passages (key);
