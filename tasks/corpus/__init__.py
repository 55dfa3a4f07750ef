"""Stages of the corpus chapter."""
