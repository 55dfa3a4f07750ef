"""Data, tensor and pipeline parallelism, through DeepSpeed."""
