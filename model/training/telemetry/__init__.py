"""What a training run reports: step log, timings, samples, progress and heartbeats."""
