"""Files become passages: read in a child with bounds, split on their structure, kept in step with the disk.

walking → library ⇄ reading (pipe) → worker: nature → a reader → splitting
             │
             └── sources (which file gave which passage) and `recall.Recall`
"""
