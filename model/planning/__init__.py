"""Plan a model's size: its operations, memory and time, estimated before training."""
