"""Release: the exported directory and its model card."""
