"""Objectives: a batch in, a summed loss and named sums out. One file an objective."""
