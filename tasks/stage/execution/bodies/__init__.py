"""Execute the body of a stage in a process of its own."""
