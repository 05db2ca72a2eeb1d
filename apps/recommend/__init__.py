"""Proposes items for a user from everyone's ratings, and says why."""
