"""What runs, in which order. No computation, no input or output."""
