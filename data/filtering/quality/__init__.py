"""A small classifier of quality that learns from texts the user names as good and as bad."""
