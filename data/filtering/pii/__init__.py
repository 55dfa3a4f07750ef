"""Finds personal data in texts, validates it by check digits or grammar where possible, and redacts it."""
