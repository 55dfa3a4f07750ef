"""Conversations: their schema, and the public shapes that they are read from."""
