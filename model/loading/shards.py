"""Reading packed token shards: memory-mapped Arrow IPC files, described by `shards.json`.

Every file holds one record batch of fixed-size lists of `sequence_length + 1` values. Row[:-1] is the input, row[1:] the target; `document`
is the ordinal of the document within its row (attention and positions restart at each); `loss` is true where a token counts as a target.

Guarantee: rows are read as they were written, in any order. Shards made with another tokenizer are refused by digest, not by vocabulary
size (`expect`); `verify` re-hashes every file.
Cost: opening reads only the files' footers. A read copies the requested rows once, and nothing else; the mapped pages belong to the
operating system, so all workers on one machine share them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FORMAT = 1
COLUMNS = {
    "pretrain": ("tokens", "document", "loss"),
    "sft": ("tokens", "document", "loss"),
    "preference": ("chosen", "chosen_loss", "rejected", "rejected_loss"),
}
Array = NDArray[Any]


class ShardError(ValueError):
    """The shards are missing, damaged, of another format, or made with another tokenizer."""


@dataclass(frozen=True)
class ShardFile:
    """One Arrow file: its name inside the directory, its rows, and the SHA-256 of its bytes (hex)."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class SourceRows:
    """How many rows a source has; each source's rows are contiguous."""

    name: str
    rows: int


@dataclass(frozen=True)
class ShardMetadata:
    """The content of `shards.json`.

    `tokens`: without padding, the token that two rows share counted once. `targets`: tokens that count in the loss. `bytes`: UTF-8 bytes of
    the text that the targets encode (special tokens encode none), so bits per byte = total nats / ln 2 / bytes. `unknown`: targets that are
    `<|unk|>`; `unknown_bytes`: the bytes they replace, part of `bytes` (in conversations estimated from their mean length in the text).
    `sources`: empty if rows hold text of several sources.
    """

    format: int
    kind: Literal["pretrain", "sft", "preference"]
    sequence_length: int
    vocab_size: int
    tokenizer_digest: str
    dtype: Literal["uint16", "uint32"]
    files: tuple[ShardFile, ...]
    rows: int
    tokens: int
    targets: int
    bytes: int
    unknown: int = 0
    unknown_bytes: int = 0
    sources: tuple[SourceRows, ...] = ()


def read_metadata(directory: Path) -> ShardMetadata:
    """Parse `directory/shards.json`; raise ShardError if it is missing or in another format."""
    path = Path(directory) / "shards.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{path} does not exist, so this is not a shard directory; pack or encode the text first") from None
    if fields.get("format") != FORMAT or fields.get("kind") not in COLUMNS:
        raise ShardError(
            f"{path} has format {fields.get('format')!r}, kind {fields.get('kind')!r}; this reader knows format "
            f"{FORMAT} and {sorted(COLUMNS)}; pack the text again"
        )
    files = tuple(ShardFile(**entry) for entry in fields.pop("files"))
    sources = tuple(SourceRows(**entry) for entry in fields.pop("sources", ()))
    return ShardMetadata(files=files, sources=sources, **fields)


class ShardReader:
    """Random access to the rows of a shard directory; `len(reader)` is their number."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.metadata = read_metadata(self.directory)
        self.columns = COLUMNS[self.metadata.kind]
        self._ends = np.cumsum([file.rows for file in self.metadata.files], dtype=np.int64)
        self._views = [self._open(file) for file in self.metadata.files]
        found = int(self._ends[-1]) if len(self._ends) else 0
        if found != self.metadata.rows:
            raise ShardError(f"{self.directory}: {found} rows in the files, {self.metadata.rows} in shards.json")

    def __len__(self) -> int:
        return self.metadata.rows

    def rows(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, Array]:
        """Return the rows of `indices`, in that order: each column [len(indices), sequence_length + 1].

        Token and document columns are int64, which torch indexes with; loss columns are bool.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()}..{wanted.max()} are out of range: {self.directory} holds {len(self)}")
        width = self.metadata.sequence_length + 1
        out: dict[str, Array] = {
            name: np.empty((wanted.size, width), dtype=np.bool_ if name.endswith("loss") else np.int64) for name in self.columns
        }
        files = np.searchsorted(self._ends, wanted, side="right")
        for file in np.unique(files).tolist():
            positions = np.flatnonzero(files == file)
            local = wanted[positions] - (int(self._ends[file - 1]) if file else 0)
            for name, view in self._views[file].items():
                out[name][positions] = _bits(view, local, width) if name.endswith("loss") else view[local]
        return out

    def view(self, name: str, file: int) -> Array:
        """Return a token or document column of one file as stored, [rows, sequence_length + 1], without a copy."""
        if name not in self.columns or name.endswith("loss"):
            raise KeyError(f"{name!r} can't be viewed without a copy; loss columns are bits, read them with rows()")
        return self._views[file][name]

    def expect(self, tokenizer_digest: str, vocab_size: int | None = None) -> None:
        """Raise ShardError unless these shards were made by the tokenizer with this SHA-256 (and, if given, vocabulary size)."""
        if self.metadata.tokenizer_digest != tokenizer_digest:
            raise ShardError(
                f"{self.directory} was encoded by tokenizer {self.metadata.tokenizer_digest[:12]}, but tokenizer "
                f"{tokenizer_digest[:12]} is in use: the same ids mean other text; encode it again with this tokenizer"
            )
        if vocab_size is not None and self.metadata.vocab_size != vocab_size:
            raise ShardError(f"{self.directory} has vocabulary {self.metadata.vocab_size}, the model has {vocab_size}")

    def verify(self) -> None:
        """Hash every file again; raise ShardError with the first that differs from what was written."""
        for file in self.metadata.files:
            with (self.directory / file.name).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != file.sha256:
                raise ShardError(
                    f"{self.directory / file.name} has digest {digest[:12]}, shards.json says {file.sha256[:12]}: the "
                    f"file was changed or damaged; pack the text again"
                )

    def _open(self, file: ShardFile) -> dict[str, Array]:
        path = self.directory / file.name
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise ShardError(f"{path} cannot be read ({error}); pack the text again") from error
        width = self.metadata.sequence_length + 1
        missing = [name for name in self.columns if name not in batch.schema.names]
        if missing or batch.num_rows != file.rows:
            raise ShardError(f"{path} has {batch.num_rows} rows of {file.rows}, without columns {missing}")
        views: dict[str, Array] = {}
        for name in self.columns:
            column: Any = batch.column(name)
            values = column.flatten()
            if len(values) != file.rows * width:
                raise ShardError(f"{path}: {name} has {len(values)} values, not {file.rows} rows of {width}")
            if pa.types.is_boolean(values.type):
                views[name] = np.frombuffer(values.buffers()[1], dtype=np.uint8)
            else:
                views[name] = values.to_numpy(zero_copy_only=True).reshape(file.rows, width)
        return views


def _bits(packed: Array, rows: NDArray[np.int64], width: int) -> Array:
    """Unpack rows of a bit-packed boolean column, in which a row may begin inside a byte; bool [len(rows), width]."""
    first, skip = np.divmod(rows * width, 8)
    covering = np.minimum(first[:, None] + np.arange((width + 14) // 8), len(packed) - 1)
    bits = np.unpackbits(packed[covering], axis=1, bitorder="little")
    out = np.empty((len(rows), width), dtype=np.bool_)
    for start in np.unique(skip).tolist():
        same = skip == start
        out[same] = bits[same, start : start + width]
    return out
