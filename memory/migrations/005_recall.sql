-- Passages with checksums, tags that can be looked up, and vectors of several embedders side by side.
DROP TRIGGER passage_added;
DROP TRIGGER passage_gone;
DROP INDEX passages_by_collection;
ALTER TABLE vectors RENAME TO old_vectors;
ALTER TABLE passages RENAME TO old_passages;
ALTER TABLE collections RENAME TO old_collections;
CREATE TABLE identity AS SELECT lower(hex(randomblob(8))) AS store; -- names this store to an index that others use too
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    app TEXT NOT NULL,
    name TEXT NOT NULL,                   -- with a slash in front: being filled or taken apart, nobody's to see
    passages INTEGER NOT NULL DEFAULT 0,  -- kept by the triggers below, as are words
    words INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL DEFAULT 0,      -- counts the changes that brought passages
    digest INTEGER AS (digest(id, owner, app, name, passages, words, turn)) STORED,
    UNIQUE (owner, app, name)
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: the indexes over passages rest on it
    collection INTEGER NOT NULL REFERENCES collections (id),
    turn INTEGER NOT NULL,                -- the change of the collection that brought it
    words INTEGER NOT NULL,
    created REAL NOT NULL,
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    source TEXT NOT NULL,
    tags TEXT NOT NULL,                   -- a JSON array of strings, sorted
    meta TEXT NOT NULL,                   -- a JSON object
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    digest INTEGER AS (
        digest(id, collection, turn, words, created, key, label, source, tags, meta, title, text)
    ) STORED,
    UNIQUE (collection, key)
);
CREATE TABLE passage_tags (
    tag TEXT NOT NULL,
    passage INTEGER NOT NULL,
    PRIMARY KEY (tag, passage)
) WITHOUT ROWID;
CREATE TABLE embedders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    active INTEGER NOT NULL DEFAULT 0,    -- 1 for the one whose vectors are searched
    digest INTEGER AS (digest(id, name, active)) STORED
);
CREATE TABLE vectors (
    passage INTEGER NOT NULL REFERENCES passages (id),
    embedder INTEGER NOT NULL REFERENCES embedders (id),
    vector BLOB NOT NULL,                 -- float32, little-endian, of length 1
    digest INTEGER AS (digest(passage, embedder, vector)) STORED,
    PRIMARY KEY (passage, embedder)
);
INSERT INTO collections (id, owner, app, name, passages, words, turn)
    SELECT id, owner, app, name, passages, words, 1 FROM old_collections;
INSERT INTO passages (id, collection, turn, words, created, key, label, source, tags, meta, title, text)
    SELECT id, collection, 1, words, created, key, label, source, tags, meta, title, text FROM old_passages;
INSERT INTO passage_tags (tag, passage)
    SELECT DISTINCT each.value, passages.id FROM passages, json_each(passages.tags) AS each;
INSERT INTO embedders (name) SELECT DISTINCT embedder FROM old_vectors ORDER BY embedder;
INSERT INTO vectors (passage, embedder, vector)
    SELECT passage, embedders.id, vector FROM old_vectors JOIN embedders ON name = embedder;
DELETE FROM sqlite_sequence WHERE name IN ('passages', 'collections');
INSERT INTO sqlite_sequence (name, seq)
    SELECT substr(name, 5), seq FROM sqlite_sequence WHERE name IN ('old_passages', 'old_collections');
DROP TABLE old_vectors;
DROP TABLE old_passages;
DROP TABLE old_collections;
CREATE INDEX passages_by_collection ON passages (collection, id, words); -- the long rows need not be read
CREATE INDEX passages_by_turn ON passages (collection, turn);
CREATE INDEX passages_by_source ON passages (collection, source);
CREATE INDEX passages_by_time ON passages (collection, created);
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    UPDATE collections SET passages = passages + 1, words = words + new.words WHERE id = new.collection;
END;
CREATE TRIGGER passage_moved AFTER UPDATE OF collection ON passages BEGIN
    UPDATE collections SET passages = passages - 1, words = words - old.words WHERE id = old.collection;
    UPDATE collections SET passages = passages + 1, words = words + new.words WHERE id = new.collection;
END;
CREATE TRIGGER passage_gone BEFORE DELETE ON passages BEGIN
    DELETE FROM vectors WHERE passage = old.id;
    UPDATE collections SET passages = passages - 1, words = words - old.words WHERE id = old.collection;
END;
