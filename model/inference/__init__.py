"""Inference: from a model directory to text. Knows nothing of training."""
