CREATE TABLE process_sizes (               -- what finished processes take in the store, counted once
    pid INTEGER PRIMARY KEY,
    entries INTEGER NOT NULL,              -- of its journal
    bytes INTEGER NOT NULL                 -- of its record and journal
);
CREATE INDEX processes_finished ON processes (finished DESC, pid DESC) WHERE finished IS NOT NULL;
