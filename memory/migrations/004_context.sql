DROP TABLE pages; -- of processes that ended with an earlier llmos: only what had left a window stood there
CREATE TABLE contexts (
    pid INTEGER PRIMARY KEY,
    state TEXT NOT NULL,                   -- a JSON object: policy, counters, stubs (`pages.Header`)
    digest INTEGER AS (digest(pid, state)) STORED
);
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    pid INTEGER NOT NULL,
    handle TEXT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    place INTEGER NOT NULL,                -- order in the window
    touched INTEGER NOT NULL DEFAULT 0,    -- on the same clock
    importance REAL NOT NULL DEFAULT 0.5,
    resident INTEGER NOT NULL DEFAULT 0,
    recalled INTEGER NOT NULL DEFAULT 0,
    part_of TEXT NOT NULL DEFAULT '',      -- handle of the text that it is a part of
    covers TEXT NOT NULL DEFAULT '[]',     -- handles of the pages that it sums up, a JSON array
    summary TEXT NOT NULL DEFAULT '',      -- handle of a page that sums it up
    text TEXT NOT NULL,
    digest INTEGER AS (digest(
        id, pid, handle, role, kind, label, tokens, place, touched, importance, resident, recalled, part_of, covers,
        summary, text
    )) STORED,
    UNIQUE (pid, handle)
);
CREATE INDEX pages_by_residence ON pages (pid, resident, summary, place, id); -- the texts need not be read
CREATE TABLE page_vectors (                -- of pages that are out, made when a query first asks for them
    pid INTEGER NOT NULL,
    page INTEGER NOT NULL,
    words INTEGER NOT NULL,
    embedder TEXT NOT NULL,
    vector BLOB NOT NULL,                  -- float16, little-endian
    PRIMARY KEY (pid, page)
) WITHOUT ROWID;
CREATE TABLE page_terms (
    pid INTEGER NOT NULL, term TEXT NOT NULL, page INTEGER NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (pid, term, page)
) WITHOUT ROWID;
CREATE TRIGGER context_gone AFTER DELETE ON contexts BEGIN -- all of a process at once, by ranges
    DELETE FROM page_terms WHERE pid = old.pid;
    DELETE FROM page_vectors WHERE pid = old.pid;
    DELETE FROM pages WHERE pid = old.pid;
END;
CREATE TRIGGER page_gone AFTER DELETE ON pages
WHEN EXISTS (SELECT 1 FROM page_vectors WHERE pid = old.pid AND page = old.id) BEGIN
    DELETE FROM page_terms WHERE pid = old.pid AND page = old.id;
    DELETE FROM page_vectors WHERE pid = old.pid AND page = old.id;
END;
