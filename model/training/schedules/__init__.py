"""Shapes of the learning rate after its warm-up, one file each: a config tagged by `kind` that computes it. `config.py` lists them."""
