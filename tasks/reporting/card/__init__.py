"""The whole model card of a release: what its export wrote, and what the store has learned since."""
