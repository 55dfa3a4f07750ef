"""Proof that held-out text is held out, and where every document went."""
