"""Optimizers: torch's own where it has one, ours from their papers where it hasn't. One file each, and one that chooses."""
