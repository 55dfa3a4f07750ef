"""Readers of text with light markup or none."""
