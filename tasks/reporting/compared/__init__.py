"""Compare a run's model with baselines that need no training, and with the model before it."""
