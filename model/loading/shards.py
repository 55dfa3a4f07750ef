"""Reads packed token shards: Arrow IPC files that are memory-mapped, with `shards.json` to say what they hold.

Guarantee: a row read is the row written, whatever the order it is asked for in; shards made with another tokenizer
are refused by digest, not by size of vocabulary (`expect`); `verify` re-hashes every file.
Cost: opening touches only the files' footers. A read copies the rows that it was asked for, once, and nothing else;
pages of the map belong to the operating system, so many workers on one machine share them.
When it can't: a missing, truncated or foreign directory raises ShardError, which names the file and the way out.

Layout: every file holds one record batch of fixed-size lists of `sequence_length + 1` values. Row[:-1] is the input,
row[1:] the target; `document` is the ordinal of the document inside its row (attention and positions start afresh at
each); `loss` is true where a token, as a target, counts.
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
    """How many rows a source has; the rows of sources lie one after the other."""

    name: str
    rows: int


@dataclass(frozen=True)
class ShardMetadata:
    """What `shards.json` says.

    `tokens`: tokens held, padding left out and the token that two rows share counted once. `targets`: tokens that
    count in the loss. `bytes`: UTF-8 bytes of the text that those stand for (special tokens stand for none), so
    bits per byte = total nats / ln 2 / bytes. `unknown`: targets that are `<|unk|>`; no token tells the
    `unknown_bytes` of the text that they stand for (part of `bytes`; in rows of conversation taken as long as those of the
    text). `sources`: empty when rows hold text of several sources.
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
    """Parse `directory/shards.json`; ShardError when it is missing or is not this format."""
    path = Path(directory) / "shards.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{path} does not exist: this is no shard directory; pack or encode the text first") from None
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
        """The rows asked for, in that order: each column [len(indices), sequence_length + 1].

        Token and document columns are int64 (what torch indexes with), loss columns bool. IndexError outside the rows.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()}..{wanted.max()} asked of {self.directory}, which holds {len(self)}")
        width = self.metadata.sequence_length + 1
        out: dict[str, Array] = {
            name: np.empty((wanted.size, width), dtype=np.bool_ if name.endswith("loss") else np.int64) for name in self.columns
        }
        files = np.searchsorted(self._ends, wanted, side="right")
        for file in np.unique(files).tolist():
            places = np.flatnonzero(files == file)
            local = wanted[places] - (int(self._ends[file - 1]) if file else 0)
            for name, view in self._views[file].items():
                out[name][places] = _bits(view, local, width) if name.endswith("loss") else view[local]
        return out

    def view(self, name: str, file: int) -> Array:
        """A token or document column of one file as stored, [rows, sequence_length + 1]: the mapped pages, no copy."""
        if name not in self.columns or name.endswith("loss"):
            raise KeyError(f"{name!r} has no view without a copy; loss columns are bits, read them with rows()")
        return self._views[file][name]

    def expect(self, tokenizer_digest: str, vocab_size: int | None = None) -> None:
        """ShardError unless these shards were made by the tokenizer with this SHA-256 (and, if given, vocabulary)."""
        if self.metadata.tokenizer_digest != tokenizer_digest:
            raise ShardError(
                f"{self.directory} was encoded by tokenizer {self.metadata.tokenizer_digest[:12]}, but tokenizer "
                f"{tokenizer_digest[:12]} is in use: the same ids mean other text; encode it again with this tokenizer"
            )
        if vocab_size is not None and self.metadata.vocab_size != vocab_size:
            raise ShardError(f"{self.directory} has vocabulary {self.metadata.vocab_size}, the model has {vocab_size}")

    def verify(self) -> None:
        """Hash every file again; ShardError names the first that is not what was written."""
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
    """Rows of a bit-packed boolean column in which a row need not begin on a byte; bool [len(rows), width]."""
    first, skip = np.divmod(rows * width, 8)
    reach = np.minimum(first[:, None] + np.arange((width + 14) // 8), len(packed) - 1)
    bits = np.unpackbits(packed[reach], axis=1, bitorder="little")
    out = np.empty((len(rows), width), dtype=np.bool_)
    for start in np.unique(skip).tolist():
        same = skip == start
        out[same] = bits[same, start : start + width]
    return out
