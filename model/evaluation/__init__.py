"""Evaluation: metrics of a model with their uncertainty, and the gates that judge them."""
