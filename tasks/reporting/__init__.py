"""The report of a run: what went in, what was made from it, how good it is, and what it cost."""
