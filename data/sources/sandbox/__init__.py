"""Parsers in a process of their own."""
