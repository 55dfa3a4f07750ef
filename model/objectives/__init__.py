"""Objectives: from a batch to a summed loss and named sums, one file per objective."""
