"""Fits tokenizers, packs splits of text, and encodes conversations into memory-mapped token shards."""
