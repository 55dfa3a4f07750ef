"""How good a run's model is beside what needs no training, and beside the model before it."""
