"""The stages of the release chapter, one per file."""
