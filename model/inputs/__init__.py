"""Inputs: from the columns of rows to vectors, one kind a file."""
