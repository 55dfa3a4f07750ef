"""Evaluation: what a model has learnt, in numbers with their uncertainty; and the gate that judges them."""
