"""Skills of an assistant, scored by rules."""
