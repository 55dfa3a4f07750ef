"""Writes rows as memory-mappable shards: Arrow IPC files of one record batch each, and `shards.json` last.

Equal rows give equal bytes. Nothing is compressed and no column has nulls, so a reader maps the file and sees the values in place.
`shards.json` holds each file's SHA-256 and the digest of the tokenizer; a directory without it is incomplete. Memory holds the rows of one
file. Columns of the wrong name or width raise ValueError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.tokens.encoder import TextEncoder
from data.tokens.rows import Columns
from data.tokens.special import PAD

FORMAT = 1
Kind = Literal["pretrain", "sft", "preference"]
PACKED = {"tokens": "loss", "document": None, "loss": None}
PAIRS = {"chosen": "chosen_loss", "chosen_loss": None, "rejected": "rejected_loss", "rejected_loss": None}
# column -> the column with its loss mask
COLUMNS: dict[Kind, dict[str, str | None]] = {"pretrain": PACKED, "sft": PACKED, "preference": PAIRS}


class ShardWriter:
    """Collects rows, writes a file for every `shard_rows` of them, and `shards.json` on `close`."""

    def __init__(
        self, directory: Path, kind: Kind, sequence_length: int, encoder: TextEncoder, shard_rows: int, unknown_size: float = 0.0
    ) -> None:
        """`unknown_size`: UTF-8 bytes that an `<|unk|>` of this text replaces, on average."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.kind, self.width = directory, kind, sequence_length + 1
        self.encoder, self.shard_rows = encoder, shard_rows
        self.token_bytes = encoder.token_bytes
        self.pending: list[Columns] = []
        self.files: list[dict[str, object]] = []
        self.unknown_size = unknown_size
        self.rows = self.targets = self.bytes = self.padding = self.filled = self.shared = self.unknown = 0
        self._pending_rows = 0

    @property
    def tokens(self) -> int:
        """Tokens written so far, without padding; a token that two rows share counts once."""
        return self.filled - self.shared

    def add(self, columns: Columns, shared: int = 0) -> None:
        """Add rows, each column [rows, sequence_length + 1]; `shared` of their tokens were counted in earlier rows."""
        sizes = {values.shape for values in columns.values()}
        if list(columns) != list(COLUMNS[self.kind]) or len(sizes) != 1 or next(iter(sizes))[1] != self.width:
            raise ValueError(f"{self.kind} rows need {list(COLUMNS[self.kind])} of width {self.width}, got {sizes}")
        count = next(iter(sizes))[0]
        for name, mask in COLUMNS[self.kind].items():
            if mask is not None:
                pad = int((columns[name] == PAD).sum())
                counted = columns[name][columns[mask].astype(np.bool_)]
                self.filled += columns[name].size - pad
                self.padding += pad
                self.targets += counted.size
                self.bytes += int(self.token_bytes[counted].sum())
                self.unknown += int((counted == self.encoder.unknown).sum()) if self.encoder.unknown is not None else 0
        self.shared += shared
        start = 0
        while start < count:
            take = min(count - start, self.shard_rows - self._pending_rows)
            self.pending.append({name: values[start : start + take] for name, values in columns.items()})
            self._pending_rows += take
            start += take
            if self._pending_rows == self.shard_rows:
                self._flush()

    def close(self, sources: Mapping[str, int] | None = None) -> dict[str, float]:
        """Write the remaining rows and `shards.json`; return rows, tokens, targets, bytes and the fraction of padding.

        `sources`: the number of rows of each source, in order, if each row holds one source.
        """
        if self._pending_rows:
            self._flush()
        unknown_bytes = round(self.unknown * self.unknown_size)
        self.bytes += unknown_bytes
        record = {
            "format": FORMAT,
            "kind": self.kind,
            "sequence_length": self.width - 1,
            "vocab_size": self.encoder.vocab_size,
            "tokenizer_digest": self.encoder.digest,
            "dtype": self.encoder.dtype.name,
            "files": self.files,
            "rows": self.rows,
            "tokens": self.tokens,
            "targets": self.targets,
            "bytes": self.bytes,
            "unknown": self.unknown,
            "unknown_bytes": unknown_bytes,
            "sources": [{"name": name, "rows": rows} for name, rows in (sources or {}).items()],
        }
        text = json.dumps(record, indent=2) + "\n"
        (self.directory / "shards.json").write_text(text, encoding="utf-8")
        cells = self.tokens + self.padding
        counts = {"rows": self.rows, "tokens": self.tokens, "targets": self.targets, "bytes": self.bytes}
        counts |= {"unknown": self.unknown} if self.encoder.unknown is not None else {}
        return {name: float(value) for name, value in counts.items()} | {"padding_fraction": self.padding / cells if cells else 0.0}

    def _flush(self) -> None:
        import pyarrow as pa

        arrays, fields = [], []
        lists: Any = pa.FixedSizeListArray  # the stubs know no from_arrays with a type
        for name in COLUMNS[self.kind]:
            values: NDArray[np.generic] = np.concatenate([part[name] for part in self.pending]).reshape(-1)
            flat = pa.array(values)
            list_type = pa.list_(pa.field("item", flat.type, nullable=False), self.width)
            arrays.append(lists.from_arrays(flat, type=list_type))
            fields.append(pa.field(name, list_type, nullable=False))
        batch = pa.record_batch(arrays, schema=pa.schema(fields))
        path = self.directory / f"{len(self.files):05d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self.files.append({"name": path.name, "rows": batch.num_rows, "sha256": digest})
        self.rows += batch.num_rows
        self.pending, self._pending_rows = [], 0
