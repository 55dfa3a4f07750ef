"""Kinds of training, one file each: a config tagged by `kind` that builds its objective. `model/training/config.py` lists them."""
