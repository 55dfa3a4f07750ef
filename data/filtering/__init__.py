"""Selects documents to learn from, by language, published heuristics, block lists and a trained classifier; redacts personal data."""
