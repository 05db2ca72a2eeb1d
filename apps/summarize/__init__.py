"""Shortens texts of any length, in words that the text vouches for."""
