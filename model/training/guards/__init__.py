"""Guards: what is done when training goes wrong, and when it ends."""
