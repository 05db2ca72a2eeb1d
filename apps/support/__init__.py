"""Answers questions in the words of a knowledge base, or hands over to a human."""
