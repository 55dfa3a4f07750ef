"""The classes of transformers that compute what a decoder computes: one file each, chosen by `registry.py`."""
