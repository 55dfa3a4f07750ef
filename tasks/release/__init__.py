"""Stages of the release chapter."""
