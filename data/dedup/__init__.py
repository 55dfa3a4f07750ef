"""Removes copies from the corpus: repeated pages, equal documents, near-duplicate documents, repeated paragraphs, lines and passages."""
