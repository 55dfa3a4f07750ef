"""Fetching pinned files from a package index or a URL."""
