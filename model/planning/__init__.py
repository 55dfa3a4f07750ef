"""How big a model to train: its operations, memory and time, estimated before training."""
