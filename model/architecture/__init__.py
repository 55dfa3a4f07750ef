"""The decoder: one file for each of its parts, shapes in the names of tensors."""
