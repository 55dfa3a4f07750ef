"""What a document is: its columns, words, shard and ledger, and how documents are read and written in bounded memory."""
