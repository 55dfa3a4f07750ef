"""Which text of the training split a tokenizer is fitted on: drawn shard by shard, and joined."""
