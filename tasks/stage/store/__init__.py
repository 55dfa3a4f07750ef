"""Artifacts on disk: commit, reuse, verify, collect."""
