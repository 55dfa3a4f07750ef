"""Checkpoints to resume from, and retained models."""
