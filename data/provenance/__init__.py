"""Finds documents and their text in the files that stages wrote."""
