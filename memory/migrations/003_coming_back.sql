-- What a process needs to go on after the program that ran it has died.
UPDATE processes SET state = 'lost', finished = started WHERE finished IS NULL;
DELETE FROM pages;
ALTER TABLE processes ADD COLUMN rights TEXT NOT NULL DEFAULT '[]';
ALTER TABLE processes ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE processes ADD COLUMN stdin TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN handed TEXT NOT NULL DEFAULT '{}';   -- path in its tree: path on the host
ALTER TABLE processes ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE processes ADD COLUMN spawned INTEGER;                     -- n of the parent's call that started it
ALTER TABLE processes ADD COLUMN usage TEXT NOT NULL DEFAULT '{}';
ALTER TABLE processes ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE processes ADD COLUMN collected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE processes ADD COLUMN result TEXT;
ALTER TABLE processes ADD COLUMN fault TEXT;
ALTER TABLE processes ADD COLUMN saved TEXT;                          -- the state it handed over last, JSON
ALTER TABLE processes ADD COLUMN saved_n INTEGER NOT NULL DEFAULT 0;  -- n of that call; what came before is history
ALTER TABLE processes ADD COLUMN counts TEXT NOT NULL DEFAULT '{}';   -- calls by name until then
ALTER TABLE processes ADD COLUMN aliases TEXT NOT NULL DEFAULT '{}';  -- pids that it knows from another machine: here
CREATE INDEX processes_alive ON processes (pid) WHERE finished IS NULL;
CREATE INDEX processes_of_parent ON processes (parent);
ALTER TABLE journal ADD COLUMN within INTEGER;  -- id of the call in whose course it was made
ALTER TABLE journal ADD COLUMN after INTEGER;   -- the n that the process had reached when the outcome came
DROP INDEX journal_of_process;
CREATE UNIQUE INDEX journal_of_process ON journal (pid, n);
CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, sender INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX mail_of_process ON mail (pid, id);
