"""Run a stage in a worker of another work pool, such as that of the machines with GPUs."""
