"""The stages of the base chapter, one per file."""
