"""The page that tells of a run: what went in, what was made of it, how good it is, what it cost."""
