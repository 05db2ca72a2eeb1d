CREATE TABLE conditions (                  -- what a process ran on: model, way, adapter, and the like
    pid INTEGER PRIMARY KEY,
    conditions TEXT NOT NULL,              -- JSON
    digest INTEGER AS (digest(pid, conditions)) STORED
);
