"""Text that a machine writes for the corpus, marked as such from its first row to its last."""
