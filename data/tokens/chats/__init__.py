"""Conversations as token ids: the chat template renders them, and says which tokens the assistant wrote."""
