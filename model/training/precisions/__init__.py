"""Number types of matrix products, one file each: a config tagged by `kind` that says what it needs. `config.py` lists them."""
