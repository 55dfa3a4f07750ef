"""The stages of the corpus chapter, one per file."""
