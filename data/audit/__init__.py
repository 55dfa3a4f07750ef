"""Measures a finished corpus: how much held-out text leaks into train, where every document went, and what the corpus is made of."""
