"""What an assistant can do, scored by rules."""
