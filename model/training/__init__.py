"""Training: jobs, the trainer, checkpoints, launching, parallelism, optimizers."""
