"""The stages of deduplication by partition, one per file: by shard where texts are read, by partition where they are compared."""
