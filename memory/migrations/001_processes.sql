CREATE TABLE processes (
    pid INTEGER PRIMARY KEY, parent INTEGER, owner TEXT NOT NULL, app TEXT NOT NULL, args TEXT NOT NULL,
    priority TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER, started REAL NOT NULL, finished REAL,
    tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0, first_token_s REAL, seconds REAL,
    pages INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0, error TEXT
);
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, n INTEGER NOT NULL, call TEXT NOT NULL, args TEXT NOT NULL,
    asked REAL NOT NULL, ok INTEGER, reply TEXT, ended REAL
);
CREATE INDEX journal_of_process ON journal (pid, n);
CREATE TABLE pages (
    pid INTEGER NOT NULL, handle TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,
    text TEXT NOT NULL, tokens INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (pid, handle)
) WITHOUT ROWID;
