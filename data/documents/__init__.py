"""What a document is: its columns, its words, the account of its fate, and how documents pass through bounded memory."""
