"""The account of packing: what happened to the tokens of each split and source.

Checked before anything is reported: tokens in = kept + left out, and the positions of a split = kept + repeated + padding. `kept` is
counted in the rows as written, tokens in when the text is encoded. PackError names both sides of an equation that doesn't hold.

Files in `accounting/`: tokens.parquet (a row for each split and source) and metrics.json (for gates).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from data.tokens.layout import TextLayout
from data.tokens.token_shards import TokenShardWriter


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
