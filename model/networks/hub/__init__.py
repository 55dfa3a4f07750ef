"""The classes of transformers that compute what a decoder computes, by family; `registry.py` chooses."""
