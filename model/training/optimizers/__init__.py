"""Optimizers: torch's where it has one, else implemented here from the paper."""
