"""Checkpoints: written while training, resumed from after a kill."""
