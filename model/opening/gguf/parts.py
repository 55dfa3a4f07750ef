"""The files of a model in several, as llama.cpp's gguf-split writes it: NAME-00001-of-00003.gguf and so on, metadata in the first.

Apart from what reads them, which needs numpy: a recipe asks only for names.
"""

from __future__ import annotations

import re
from pathlib import Path

from model.networks.base import ModelError

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
MOST_PARTS = 1_000


def parts_of(path: Path) -> list[Path]:
    """Return the files of a model whose first part this is, by its name alone; any other file stands alone.

    Raise ModelError for a later part, which lacks the metadata.
    """
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    if (count := int(found["count"])) > MOST_PARTS:
        raise ModelError(f"{path} is named as one of {count:,} parts, and at most {MOST_PARTS:,} are read; rename it if it is whole")
    names = [f"{found['stem']}-{number:05d}-of-{found['count']}.gguf" for number in range(1, count + 1)]
    if path.name != names[0]:
        raise ModelError(f"{path} is a later part of a model; give its first, {names[0]}")
    return [path.with_name(name) for name in names]


def is_part(name: str) -> bool:
    """Return whether a file is named as a part of a model."""
    return _PART.fullmatch(name) is not None
