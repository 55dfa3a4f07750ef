"""Kinds of training: a config each, tagged by `kind`, that builds its objective. `model/training/config.py` lists them."""
