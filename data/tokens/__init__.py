"""Tokenizer, packing and encoding: from splits of text to memory-mapped token shards."""
