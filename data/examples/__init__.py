"""Conversations: what a model is shown and asked after it has read the books."""
