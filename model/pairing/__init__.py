"""Preference pairs near the model's own mistakes: the right answer against the wrong one that the model itself finds likeliest."""
