"""Where each token of a shard came from."""
