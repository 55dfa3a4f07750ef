"""Start, watch and stop training workers."""
