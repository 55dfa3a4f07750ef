"""Stages of the base chapter."""
