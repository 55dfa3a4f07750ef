"""Divides the corpus into train, validation and test."""
