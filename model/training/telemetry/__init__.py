"""Reports of a training run: step log, timings, samples, progress and heartbeats."""
