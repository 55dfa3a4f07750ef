"""The interface of every open model: a Hugging Face directory, its shape, its description, and how it becomes one of folio's."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, Field

from data.shards.durable import file_digest
from data.shards.model_folder import TEXT_BYTES, TOKENIZER_BYTES, present, read_bytes
from model.networks.base import ModelError, NetworkBase
from model.networks.directory import TOKENIZER_DIGEST, map_model, save_tensors

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
    """The description of a model, before its weights are read."""

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
        """The model's name, for people."""

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
    return {name: file_digest(path) for name, path in sorted(files.items())}


def adopt_model(directory: Path, output: Path) -> dict[str, float]:
    """Write the model in a Hugging Face directory into `output`, in fp32, bound to its tokenizer; return parameters, vocab_size, context.

    Raise ModelError for one that folio can't compute, and for one that can't be trained by next tokens. Memory: one tensor in fp32.
    """
    network, tensors = map_model(directory)
    if "causal" not in network.config.SUPPORTS:
        raise ModelError(f"{directory} is of kind {network.config.kind}, which does not predict next tokens; start from one that does")
    digest = hashlib.sha256(read_bytes(directory / "tokenizer.json", TOKENIZER_BYTES)).hexdigest()
    save_tensors(tensors, network.config, network.vocab_size, output, extra={TOKENIZER_DIGEST: digest})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": float(parameters), "vocab_size": float(network.vocab_size), "context": float(network.config.context)}


def write_origin(output: Path, origin: dict[str, object]) -> None:
    """Write where a model is from, for the card and the report."""
    (output / "origin.json").write_text(json.dumps(origin, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
