"""Archives and compressed files, read as untrusted input."""
