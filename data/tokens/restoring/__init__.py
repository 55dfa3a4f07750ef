"""Whether a tokenizer restores the training split, and how it encodes it: counted shard by shard, and joined."""
