"""Finds documents, and text of them, in the files that stages wrote."""
