"""Serving: models behind an OpenAI-compatible address, and a page to talk to them. Knows no recipes and no store."""
