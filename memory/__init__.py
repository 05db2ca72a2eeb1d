"""All that remembers: context pages, journal, vectors, search, files. Imports nothing of ours."""
