"""What runs, and in which order. Flows compute nothing themselves, and neither read nor write."""
