"""Documents: their columns, words, shard and ledger, and how they are read and written in bounded memory."""
