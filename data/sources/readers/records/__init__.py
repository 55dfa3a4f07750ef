"""Readers of files that hold many documents."""
