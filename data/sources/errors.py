"""Errors of the sources. Each message names the thing, its value and the way out."""

from __future__ import annotations


class SourceError(ValueError):
    """A source can't be read as the recipe asks."""


class HostileArchive(SourceError):
    """An archive holds what no honest text archive needs: outside paths, links, or far too much."""
