"""Stages of the chat chapter."""
