"""The one format of packed rows, which `data` writes and `model` reads."""
