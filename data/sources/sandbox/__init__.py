"""Runs parsers of untrusted files in a separate process."""
