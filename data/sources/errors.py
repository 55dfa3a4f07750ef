"""Errors of the sources. Each message names the thing, its value and what to do."""

from __future__ import annotations


class SourceError(ValueError):
    """A source can't be read as the recipe asks."""


class HostileArchive(SourceError):
    """An archive or compressed file holds what no honest one needs: paths outside it, links, or far too much data."""


class Unreadable(ValueError):
    """A file or record gives no text. The message becomes its quarantine reason: a few words, a colon, the details."""
