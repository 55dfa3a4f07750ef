"""Rows for training: packed shards, their order, mixtures, prefetching, batches."""
