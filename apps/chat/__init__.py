"""Talks in plain language, works on text that is piped in, and acts through the calls it has rights to."""
