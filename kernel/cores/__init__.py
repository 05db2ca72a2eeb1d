"""Cores: each is one model that computes, in this program or behind a server. A machine has one or more."""
