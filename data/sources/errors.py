"""Errors of the sources. Each message names the thing, its value and the way out."""

from __future__ import annotations


class SourceError(ValueError):
    """A source can't be read as the recipe asks."""


class HostileArchive(SourceError):
    """An archive or a packed file holds what no honest one needs: outside paths, links, or far too much."""


class Unreadable(ValueError):
    """A file or a record holds no text that can be had. The message is fit for the quarantine: a few words, a colon, the details."""
