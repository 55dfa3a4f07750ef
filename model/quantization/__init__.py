"""Quantized forms of a model."""
