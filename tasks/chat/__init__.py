"""The stages of the chat chapter, one per file."""
