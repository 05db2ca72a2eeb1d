CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    passages INTEGER NOT NULL DEFAULT 0,  -- kept by the triggers below, as are words and newest
    words INTEGER NOT NULL DEFAULT 0,
    newest INTEGER NOT NULL DEFAULT 0,    -- the highest passage id there ever was in it
    UNIQUE (owner, app, name)
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: the indexes over passages rest on it
    collection INTEGER NOT NULL REFERENCES collections (id),
    words INTEGER NOT NULL,
    created REAL NOT NULL,
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    source TEXT NOT NULL,
    tags TEXT NOT NULL,                   -- a JSON array of strings, sorted
    meta TEXT NOT NULL,                   -- a JSON object
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (collection, key)
);
CREATE INDEX passages_by_collection ON passages (collection, id, words); -- the long rows need not be read
CREATE TABLE vectors (
    passage INTEGER PRIMARY KEY REFERENCES passages (id),
    embedder TEXT NOT NULL,
    vector BLOB NOT NULL                  -- float32, little-endian, of length 1
);
CREATE VIRTUAL TABLE passage_words USING fts5 (
    title, text, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE passage_terms USING fts5vocab (passage_words, 'instance');
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    UPDATE collections SET passages = passages + 1, words = words + new.words, newest = max(newest, new.id)
    WHERE id = new.collection;
END;
CREATE TRIGGER passage_gone BEFORE DELETE ON passages BEGIN
    DELETE FROM vectors WHERE passage = old.id;
    UPDATE collections SET passages = passages - 1, words = words - old.words WHERE id = old.collection;
END;
