"""Copies leave the corpus: repeated pages, exact documents, near documents, long repeated paragraphs."""
