"""The one format of packed rows, which `data` writes and `model` reads, and the n-grams that both count in them."""
