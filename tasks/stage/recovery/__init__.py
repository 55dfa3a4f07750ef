"""Notice dead runs and close them."""
