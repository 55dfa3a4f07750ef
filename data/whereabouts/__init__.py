"""Where a document is: in tables of documents, in ledgers, in lines made from its words."""
