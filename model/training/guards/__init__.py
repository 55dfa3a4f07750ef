"""Guards: what to do when training goes wrong, and when to stop early."""
