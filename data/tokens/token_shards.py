"""Write rows of tokens as shards, and account for what they hold: tokens, targets, bytes, padding.

`data.shards` has the format. Which columns hold tokens, and which of them count as targets, is said by the kind of rows; other columns are
written as they come. Columns of the wrong name or width raise ValueError.

The account of packing: what happened to the tokens of each split and source.

Checked before anything is reported: tokens in = kept + left out, and the positions of a split = kept + repeated + padding. `kept` is
counted in the rows as written, tokens in when the text is encoded. PackError names both sides of an equation that doesn't hold.

Files in `accounting/`: tokens.parquet (a row for each split and source) and metrics.json (for gates).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.metadata import ShardCounts, SourceRows
from data.shards.pictures import PLACES
from data.shards.schema import KINDS, Columns
from data.shards.writer import ShardWriter
from data.tokens.encoder import TextEncoder
from data.tokens.layout import TextLayout


class TokenShardWriter:
    """Collects rows of `sequence_length + 1` positions, writes a file for every `shard_rows` of them, and `shards.json` on `close`."""

    def __init__(
        self, directory: Path, kind: str, sequence_length: int, encoder: TextEncoder, shard_rows: int, unknown_size: float = 0.0
    ) -> None:
        """`kind`: one of `data.shards.schema`. `unknown_size`: UTF-8 bytes that an `<|unk|>` of this text replaces, on average."""
        self.kind, self.width = kind, sequence_length + 1
        self.encoder, self.unknown_size = encoder, unknown_size
        self.targets = self.bytes = self.padding = self.filled = self.shared = self.unknown = 0
        self._rows = KINDS[kind]
        self._writer = ShardWriter(directory, shard_rows)

    @property
    def rows(self) -> int:
        """Rows in files so far."""
        return self._writer.rows

    @property
    def tokens(self) -> int:
        """Tokens written so far, without padding; a token that two rows share counts once."""
        return self.filled - self.shared

    def add(self, columns: Columns, shared: int = 0) -> None:
        """Add rows, each column [rows, sequence_length + 1, ...], labels [rows]; `shared` of their tokens were counted in earlier rows.

        Ids of patches become the columns that pictures have."""
        if self.encoder.pictures is not None and "tokens" in columns:
            columns = self.encoder.pictures.columns(dict(columns), self.encoder.roles.padding)
        sizes = {values.shape[1:2] for name, values in columns.items() if name not in self._rows.labels}
        if not self._rows.columns <= columns.keys() or sizes != {(self.width,)}:
            raise ValueError(f"{self.kind} rows need {sorted(self._rows.columns)} of width {self.width}, got {list(columns)} of {sizes}")
        for name, mask in self._rows.targets.items():
            pad = self._padding(columns[name], columns[mask] if PLACES not in columns else columns[mask] | (columns[PLACES] > 0))
            counted = columns[name][columns[mask].astype(np.bool_)]
            self.filled += columns[name].size - pad
            self.padding += pad
            self.targets += counted.size
            self.bytes += int(self.encoder.token_bytes[counted].sum())
            self.unknown += int((counted == self.encoder.unknown).sum()) if self.encoder.unknown is not None else 0
        self.shared += shared
        self._writer.add(columns)

    def _padding(self, tokens: NDArray[Any], loss: NDArray[Any]) -> int:
        """Return how many positions are padding: what ends a row, counts as no target and is the token that rows are filled with.

        The token alone tells it with folio's own tokenizers; those from elsewhere may fill rows with what also ends a document.
        """
        unfilled = (tokens == self.encoder.roles.padding) & (loss == 0)
        return int(np.logical_and.accumulate(unfilled[:, ::-1], axis=1).sum())

    def close(self, sources: Sequence[SourceRows] = (), tables: Columns | None = None) -> dict[str, float]:
        """Write the remaining rows and `shards.json`; return rows, tokens, targets, bytes and the fraction of padding.

        `sources`: what each source has, in order, if each row holds one source. `tables`: the columns that follow from the
        tokens, each with its value for every token of the vocabulary.
        """
        unknown_bytes = round(self.unknown * self.unknown_size)
        self.bytes += unknown_bytes
        self._writer.close(
            self.kind,
            sequence_length=self.width - 1,
            tokenizer_digest=self.encoder.digest,
            vocab_size=self.encoder.vocab_size,
            counts=ShardCounts(self.tokens, self.targets, self.bytes, self.unknown, unknown_bytes),
            sources=sources,
            tables=tables,
            begin=self.encoder.roles.document_begin,
        )
        cells = self.tokens + self.padding
        counts = {"rows": self.rows, "tokens": self.tokens, "targets": self.targets, "bytes": self.bytes}
        counts |= {"unknown": self.unknown} if self.encoder.unknown is not None else {}
        return {name: float(value) for name, value in counts.items()} | {"padding_fraction": self.padding / cells if cells else 0.0}


class PackError(RuntimeError):
    """The written rows differ from the text that was to be packed."""


@dataclass(frozen=True)
class TokenCounts:
    """The counts of one source in one split. All but `documents` and `cut_documents` count tokens or positions."""

    split: str
    source: str
    documents: int
    tokens: int  # of its documents, each counted once
    left_out: int  # tokens of documents that no row holds
    cut_documents: int  # documents in more than one row
    separated: int  # tokens in rows without the beginning of their document
    repeated: int  # positions that hold a token again
    padding: int  # padding after its documents

    @property
    def kept(self) -> int:
        return self.tokens - self.left_out


def count_tokens(split: str, layout: TextLayout) -> list[TokenCounts]:
    """Count the tokens of each source of a layout, ordered by name."""
    stream = layout.stream
    names, which = np.unique(np.array(stream.sources, dtype=np.str_), return_inverse=True)

    def sum_by_source(values: np.ndarray) -> list[int]:
        totals = np.zeros(len(names), dtype=np.int64)
        np.add.at(totals, which, values)
        return totals.tolist()

    columns = (stream.lengths > 0, stream.lengths, stream.lengths * 0, layout.separated > 0, layout.separated, layout.repeated)
    counts = zip(names.tolist(), *map(sum_by_source, (*columns, layout.padding)), strict=True)
    return [TokenCounts(split, *values) for values in counts]


def require_balance(split: str, counts: Iterable[TokenCounts], writer: TokenShardWriter) -> None:
    """Raise PackError unless the written rows hold exactly what was counted."""
    counts = list(counts)
    kept, repeated, padding = (sum(getattr(one, name) for one in counts) for name in ("kept", "repeated", "padding"))
    for what, expected, written in (
        ("tokens", kept + repeated, writer.filled),
        ("padding", padding, writer.padding),
        ("positions", kept + repeated + padding, writer.rows * writer.width),
    ):
        if expected != written:
            raise PackError(f"{split}: expected {expected} {what}, the rows hold {written}; this is a bug in folio, not in the text")


def accounting_metrics(counts: list[TokenCounts]) -> dict[str, float]:
    """Return metrics for gates: shares of each split, and token counts for each of its sources."""
    metrics: dict[str, float] = {}
    for split in dict.fromkeys(one.split for one in counts):
        here = [one for one in counts if one.split == split]
        tokens = sum(one.tokens for one in here)
        for name in ("separated", "left_out"):
            metrics[f"{split}_{name}_fraction"] = sum(getattr(one, name) for one in here) / tokens if tokens else 0.0
        metrics[f"{split}_cut_documents"] = float(sum(one.cut_documents for one in here))
        for one in here:
            values = {"tokens": one.tokens, "separated": one.separated, "left_out": one.left_out, "padding": one.padding}
            metrics |= {f"{split}_{name}_{one.source}": float(count) for name, count in values.items()}
    return metrics


def write_accounting(directory: Path, counts: list[TokenCounts], metrics: dict[str, float]) -> None:
    """Write tokens.parquet and metrics.json."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in fields(TokenCounts)]
    schema = pa.schema([(name, pa.string() if name in ("split", "source") else pa.int64()) for name in [*names, "kept"]])
    rows = [{**asdict(one), "kept": one.kept} for one in counts]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), directory / "tokens.parquet")
    (directory / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
