"""Finding a document's words in files of any kind."""
