"""Tokenizers from elsewhere."""
