"""Step log, speed and samples of a training run."""
