"""The account of packing: for each split and source, what became of its tokens.

Law, checked before anything is told: tokens in = kept + left out, and the places of a split = kept + repeated + padding. Kept is counted
in the rows as they were written, tokens in when the text was encoded. A law that doesn't hold raises PackError with both sides.

Files, in `accounting/`: tokens.parquet (a row for each split and source) and metrics.json (what a gate can hold).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from data.tokens.layout import TextLayout
from data.tokens.shard_writer import ShardWriter


class PackError(RuntimeError):
    """The rows written don't hold what was to be packed."""


@dataclass(frozen=True)
class TokenCounts:
    """One source in one split. All but the first three are counts of tokens or places."""

    split: str
    source: str
    documents: int
    tokens: int  # that its documents have, each counted once
    left_out: int  # of documents that no row holds
    cut_documents: int  # documents that lie in more than one row
    separated: int  # tokens in rows that don't hold their document's beginning
    repeated: int  # places that hold a token once more
    padding: int  # places left empty behind its documents

    @property
    def kept(self) -> int:
        return self.tokens - self.left_out


def count_tokens(split: str, layout: TextLayout) -> list[TokenCounts]:
    """The lines of a layout's sources, in the order of their names."""
    stream = layout.stream
    names, which = np.unique(np.array(stream.sources, dtype=np.str_), return_inverse=True)

    def summed(values: np.ndarray) -> list[int]:
        totals = np.zeros(len(names), dtype=np.int64)
        np.add.at(totals, which, values)
        return totals.tolist()

    columns = (stream.lengths > 0, stream.lengths, stream.lengths * 0, layout.separated > 0, layout.separated, layout.repeated)
    told = zip(names.tolist(), *map(summed, (*columns, layout.padding)), strict=True)
    return [TokenCounts(split, *values) for values in told]


def require_balance(split: str, lines: Iterable[TokenCounts], writer: ShardWriter) -> None:
    """PackError unless the rows that were written hold what the lines say."""
    kept, repeated, padding = (sum(getattr(line, name) for line in lines) for name in ("kept", "repeated", "padding"))
    for what, said, found in (
        ("tokens", kept + repeated, writer.filled),
        ("padding", padding, writer.padding),
        ("places", kept + repeated + padding, writer.rows * writer.width),
    ):
        if said != found:
            raise PackError(f"{split}: {said} {what} were to be packed, the rows hold {found}; this is a fault of folio's, not of the text")


def accounting_metrics(lines: list[TokenCounts]) -> dict[str, float]:
    """What a gate can hold: shares of each split, and counts of tokens for each of its sources."""
    metrics: dict[str, float] = {}
    for split in dict.fromkeys(line.split for line in lines):
        here = [line for line in lines if line.split == split]
        tokens = sum(line.tokens for line in here)
        for name in ("separated", "left_out"):
            metrics[f"{split}_{name}_fraction"] = sum(getattr(line, name) for line in here) / tokens if tokens else 0.0
        metrics[f"{split}_cut_documents"] = float(sum(line.cut_documents for line in here))
        for line in here:
            counts = {"tokens": line.tokens, "separated": line.separated, "left_out": line.left_out, "padding": line.padding}
            metrics |= {f"{split}_{name}_{line.source}": float(count) for name, count in counts.items()}
    return metrics


def write_accounting(directory: Path, lines: list[TokenCounts], metrics: dict[str, float]) -> None:
    """Write both files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in fields(TokenCounts)]
    schema = pa.schema([(name, pa.string() if name in ("split", "source") else pa.int64()) for name in [*names, "kept"]])
    rows = [{**asdict(line), "kept": line.kept} for line in lines]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), directory / "tokens.parquet")
    (directory / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
