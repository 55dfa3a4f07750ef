"""Weights for sources: which source each place in the order of samples takes, and what changes them on the way."""
