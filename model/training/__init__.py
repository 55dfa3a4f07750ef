"""Training: workers, order of samples, shards, checkpoints."""
