"""Kinds of optimizer, one file each: a config tagged by `kind` that builds its optimizer. `optimizers/config.py` lists them."""
