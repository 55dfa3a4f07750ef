"""Text of evaluation sets out of training text."""
