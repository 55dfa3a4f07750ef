"""Opens what every shard would have to open, once, and hands each shard its slice."""
