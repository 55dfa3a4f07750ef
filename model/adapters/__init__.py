"""Adapters: which weights of a network are trained, and how they are merged and saved."""
