"""Rows for training: shards, order, mixture, prefetch."""
