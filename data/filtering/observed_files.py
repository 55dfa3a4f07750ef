"""Files that a recipe names besides its sources: block lists, examples, and the model that finds names.

What is read is, byte for byte, what the stage's key was computed from; a file that changed since raises an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.filtering.config import FilterConfig
from data.filtering.pii.name_model import find_name_model


class FileChanged(OSError):
    """A file has changed since the stage's key was computed; the message names it."""


@dataclass(frozen=True)
class ObservedFiles:
    """The files under `root`. `observed`: their sha256 by name when the key was computed; None: don't check."""

    root: Path
    observed: Mapping[str, str] | None = None

    def read(self, name: str, path: Path | None = None) -> bytes:
        """Return the content of a file: `path`, or `name` under the root. Raise FileChanged, or OSError if it can't be read."""
        content = (path or self.root / name).read_bytes()
        if self.observed is not None and hashlib.sha256(content).hexdigest() != self.observed.get(name):
            raise FileChanged(f"{name} changed during the run; start the run again")
        return content


class BlockListError(ValueError):
    """A block list can't be read, or has a useless entry; the message names it."""


def observed_digests(
    config: FilterConfig, root: Path, shard: object, digest_of: Callable[[Iterable[Path]], Mapping[Path, str]]
) -> dict[str, str]:
    """Return {file as the recipe names it: digest} for the key of the filter stage: block lists, and the model that finds names.

    Raise BlockListError or NameModelError for one that is missing.
    """
    files = {name: root / name for name in sorted({*config.blocked.document_files, *config.blocked.phrase_files})}
    for name, path in files.items():
        if not path.is_file():
            raise BlockListError(f"filter.blocked: there is no file {name!r} under {root}; correct the name, or put the list there")
    if names := find_name_model(config.pii, root):
        files |= names.files
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()}
