"""`shards.json`: what a shard directory holds, written last, so a directory without it is incomplete."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.shards.schema import ShardError

FORMAT = 1
METADATA = "shards.json"
BEGIN = 1  # the token that documents begin with in folio's own tokenizers


@dataclass(frozen=True)
class ShardFile:
    """One Arrow file: its name inside the directory, its rows, and the SHA-256 of its bytes (hex)."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class SourceRows:
    """Row counts by source, one source after the other, with their targets and the bytes of its text; 0 if not counted."""

    name: str
    rows: int
    targets: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class ShardCounts:
    """The content of the rows.

    `tokens`: without padding, the token that two rows share counted once. `targets`: tokens that count in the loss. `bytes`: UTF-8 bytes of
    the text that the targets encode (special tokens encode none), so bits per byte = total nats / ln 2 / bytes. `unknown`: targets that are
    `<|unk|>`; `unknown_bytes`: the bytes they replace, part of `bytes` (in conversations estimated from their mean length in the text).
    """

    tokens: int = 0
    targets: int = 0
    bytes: int = 0
    unknown: int = 0
    unknown_bytes: int = 0


@dataclass(frozen=True)
class ShardMetadata:
    """The content of `shards.json`.

    `sequence_length`: one less than the positions of a row, in tokens. `dtype`: the type of token ids. `tokens` to `unknown_bytes`: see
    `ShardCounts`. `sources`: empty if rows hold text of several sources. `tables`: files with a row for each token of the vocabulary and
    one column: the value that a column of that name has wherever the token stands. `begin`: the token that documents begin with.
    """

    format: int
    kind: str
    sequence_length: int
    vocab_size: int
    tokenizer_digest: str
    dtype: str
    files: tuple[ShardFile, ...]
    rows: int
    tokens: int
    targets: int
    bytes: int
    unknown: int = 0
    unknown_bytes: int = 0
    sources: tuple[SourceRows, ...] = ()
    tables: tuple[ShardFile, ...] = ()
    begin: int = BEGIN

    @property
    def digest(self) -> str:
        """The SHA-256 of what identifies the rows: the tokenizer's digest, and that of each file."""
        return hashlib.sha256(" ".join((self.tokenizer_digest, *(file.sha256 for file in self.files))).encode()).hexdigest()

    @property
    def unknown_bits(self) -> float:
        """Bits for each byte of text that the tokenizer's losses cost: each byte that it lost, and an end mark, is one of 257."""
        return (self.unknown_bytes + self.unknown) * math.log2(257) / self.bytes if self.bytes else 0.0


def write_metadata(directory: Path, metadata: ShardMetadata) -> None:
    """Write `directory/shards.json`; tables, and a beginning that is not folio's own, are named only where there are any."""
    fields = asdict(metadata)
    if not metadata.tables:
        del fields["tables"]
    if metadata.begin == BEGIN:
        del fields["begin"]
    (directory / METADATA).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def read_metadata(directory: Path) -> ShardMetadata:
    """Parse `directory/shards.json`; raise ShardError if it is missing, damaged or in another format."""
    path = Path(directory) / METADATA
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{path} does not exist, so this is not a shard directory; pack or encode the text first") from None
    except ValueError as error:
        raise ShardError(f"{path} is damaged ({error}); write the rows again") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        found = fields.get("format") if isinstance(fields, dict) else fields
        raise ShardError(f"{path} has format {found!r}; this reader knows format {FORMAT}; write the rows again")
    try:
        files = tuple(ShardFile(**entry) for entry in fields.pop("files"))
        sources = tuple(SourceRows(**entry) for entry in fields.pop("sources", ()))
        tables = tuple(ShardFile(**entry) for entry in fields.pop("tables", ()))
        return ShardMetadata(files=files, sources=sources, tables=tables, **fields)
    except (KeyError, TypeError) as error:
        raise ShardError(f"{path} does not describe shards ({error}); write the rows again") from error
