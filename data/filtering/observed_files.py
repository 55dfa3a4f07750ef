"""Files that a recipe names beside its sources: block lists and examples.

Guarantee: what is read is what the stage's key was computed from, byte for byte; a file that changed since is an error that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class FileChanged(OSError):
    """A file is no longer what the stage's key was computed from; the message names it."""


@dataclass(frozen=True)
class ObservedFiles:
    """Where such files are, and their sha256 by name when the key was computed; None: nobody looked."""

    root: Path
    observed: Mapping[str, str] | None = None

    def read(self, name: str, path: Path | None = None) -> bytes:
        """The content of a file, `path` or `name` under the root. Raises FileChanged, and OSError where it can't be read."""
        content = (path or self.root / name).read_bytes()
        if self.observed is not None and hashlib.sha256(content).hexdigest() != self.observed.get(name):
            raise FileChanged(f"{name} changed while the run was under way; give the same command again")
        return content
