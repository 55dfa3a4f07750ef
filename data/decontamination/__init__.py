"""Removes the text of evaluation sets from the corpus."""
