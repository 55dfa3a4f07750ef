"""What kinds of tuning share: preferences with their references, and sampled replies."""
