"""Inference: from a model directory to text. Knows nothing of how the text was made or the model trained."""
