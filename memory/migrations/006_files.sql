CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: what was indexed of a file is known by it
    owner TEXT NOT NULL,
    parent INTEGER NOT NULL,              -- 0: the owner's root
    name TEXT NOT NULL,
    folder INTEGER NOT NULL,
    gone INTEGER NOT NULL,                -- a deleted file, or a folder without files
    current INTEGER NOT NULL,             -- the number of the newest version, 0 of a folder
    stored INTEGER NOT NULL,              -- bytes of content of all versions, each piece counted once
    tags TEXT NOT NULL,                   -- a JSON array of strings, sorted
    created REAL NOT NULL,
    digest INTEGER AS (digest(id, owner, parent, name, folder, gone, current, stored, tags, created)) STORED
);
CREATE UNIQUE INDEX nodes_there ON nodes (owner, parent, name) WHERE gone = 0;
CREATE INDEX nodes_by_name ON nodes (owner, parent, name);
CREATE TABLE versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node INTEGER NOT NULL REFERENCES nodes (id),
    number INTEGER NOT NULL,              -- from 1, of this node
    size INTEGER,                         -- bytes; NULL: deleted
    label TEXT NOT NULL,
    made REAL NOT NULL,
    pid INTEGER,                          -- the process that made it; NULL: the user
    pieces BLOB NOT NULL,                 -- for each 16 bytes of hash, 4 of length
    digest INTEGER AS (digest(id, node, number, size, label, made, pid, pieces)) STORED,
    UNIQUE (node, number)
);
CREATE TABLE chunks (
    hash BLOB PRIMARY KEY,                -- blake2b of the content, 16 bytes: what is read is checked against it
    packed INTEGER NOT NULL,              -- whether data is compressed with zlib
    data BLOB NOT NULL
);
CREATE TABLE files_indexed (              -- what the search for meaning knows of a file
    node INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    owner TEXT NOT NULL,
    top INTEGER NOT NULL,                 -- the node below the root that the file was in: names the collection
    passages INTEGER NOT NULL
);
