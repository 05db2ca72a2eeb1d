"""Policy: the call table, the one gate, rights, audit, and a module for each family of calls."""
