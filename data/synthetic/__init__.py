"""Synthetic text for the corpus, marked as such in every row."""
