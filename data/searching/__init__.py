"""Finding passages of documents that answer a question, and a document's words in files of any kind."""
