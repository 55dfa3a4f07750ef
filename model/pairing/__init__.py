"""Preference pairs from the model's own mistakes: the right answer against the wrong one it finds likeliest."""
