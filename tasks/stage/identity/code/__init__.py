"""Static analysis of our own source: what a function reaches, and hashes of it."""
