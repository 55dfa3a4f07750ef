"""The page of a run: what went in, what was made of it, how good it is, and what it cost."""
