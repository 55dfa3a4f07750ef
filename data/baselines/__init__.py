"""Baselines of a language model: counting, compressing and guessing, on the same text and the same questions."""
