-- What a process needs to go on after the program that ran it has died; rows know their digests.
UPDATE processes SET state = 'lost', finished = started WHERE finished IS NULL;

ALTER TABLE processes RENAME TO processes_before;
CREATE TABLE processes (
    pid INTEGER PRIMARY KEY, parent INTEGER, owner TEXT NOT NULL, app TEXT NOT NULL, args TEXT NOT NULL,
    priority TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER, started REAL NOT NULL, finished REAL,
    tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0, first_token_s REAL, seconds REAL,
    pages INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0, error TEXT,
    rights TEXT NOT NULL DEFAULT '[]',
    limits TEXT NOT NULL DEFAULT '{}',
    stdin TEXT NOT NULL DEFAULT '',
    handed TEXT NOT NULL DEFAULT '{}',    -- path in its tree: path on the host
    model TEXT NOT NULL DEFAULT '',
    spawned INTEGER,                      -- n of the parent's call that started it
    stopped INTEGER NOT NULL DEFAULT 0,
    collected INTEGER NOT NULL DEFAULT 0, -- its parent has waited for it
    result TEXT,
    fault TEXT,
    saved TEXT,                           -- the state that it handed over last, JSON
    saved_n INTEGER NOT NULL DEFAULT 0,   -- n of that call; what came before is history
    counts TEXT NOT NULL DEFAULT '{}',    -- calls by name until then
    aliases TEXT NOT NULL DEFAULT '{}',   -- pids that it knows from another machine: here
    digest INTEGER AS (digest(
        pid, parent, owner, app, args, priority, state, exit_code, started, finished, tokens_in, tokens_out,
        first_token_s, seconds, pages, faults, error, rights, limits, stdin, handed, model, spawned, stopped,
        collected, result, fault, saved, saved_n, counts, aliases
    )) STORED
);
INSERT INTO processes (
    pid, parent, owner, app, args, priority, state, exit_code, started, finished, tokens_in, tokens_out, first_token_s,
    seconds, pages, faults, error
) SELECT * FROM processes_before;
DROP TABLE processes_before;
CREATE INDEX processes_alive ON processes (pid) WHERE finished IS NULL;
CREATE INDEX processes_of_parent ON processes (parent);

CREATE TABLE usages ( -- of processes; changes with every call, and the row of a process can be long
    pid INTEGER PRIMARY KEY, usage TEXT NOT NULL, digest INTEGER AS (digest(pid, usage)) STORED
);

ALTER TABLE journal RENAME TO journal_before;
DROP INDEX journal_of_process;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, n INTEGER NOT NULL, call TEXT NOT NULL, args TEXT NOT NULL,
    asked REAL NOT NULL, ok INTEGER, reply TEXT, ended REAL,
    within INTEGER,                       -- id of the call in whose course it was made
    after INTEGER,                        -- the n that the process had reached when the outcome came
    digest INTEGER AS (digest(id, pid, n, call, args, asked, ok, reply, ended, within, after)) STORED
);
INSERT INTO journal (id, pid, n, call, args, asked, ok, reply, ended) SELECT * FROM journal_before;
DROP TABLE journal_before;
CREATE UNIQUE INDEX journal_of_process ON journal (pid, n);

CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, sender INTEGER NOT NULL, message TEXT NOT NULL,
    digest INTEGER AS (digest(id, pid, sender, message)) STORED
);
CREATE INDEX mail_of_process ON mail (pid, id);
