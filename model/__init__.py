"""The model: architecture, objectives, training, inference and release."""
