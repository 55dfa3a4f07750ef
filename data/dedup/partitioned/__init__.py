"""Deduplication in tasks that share nothing but files: a task a shard where texts are read, a task a partition where they are compared.

What tasks of shards hand to tasks of partitions, and these hand back, are slices: Parquet files by a hash of what must meet, or by the
shard that a document is from. Every step applies the queries that deduplication in one task applies to all documents, so the result is the
same to the byte, whatever the shards and partitions.

A document's number is its shard's number times 2^40 plus its place there, so numbers keep the order of ids and nobody counts documents
first.
"""
