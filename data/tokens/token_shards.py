"""Writes rows of tokens as shards, and counts what they hold: tokens, targets, bytes, padding.

`data.shards` has the format. Which columns hold tokens, and which of them count as targets, is said by the kind of rows; other columns are
written as they come. Columns of the wrong name or width raise ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.kinds import KINDS
from data.shards.metadata import ShardCounts, SourceRows
from data.shards.schema import Columns
from data.shards.writer import ShardWriter
from data.tokens.encoder import TextEncoder


class TokenShardWriter:
    """Collects rows of `sequence_length + 1` positions, writes a file for every `shard_rows` of them, and `shards.json` on `close`."""

    def __init__(
        self, directory: Path, kind: str, sequence_length: int, encoder: TextEncoder, shard_rows: int, unknown_size: float = 0.0
    ) -> None:
        """`kind`: one of `data.shards.kinds`. `unknown_size`: UTF-8 bytes that an `<|unk|>` of this text replaces, on average."""
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
        """Add rows, each column [rows, sequence_length + 1, ...], labels [rows]; `shared` of their tokens were counted in earlier rows."""
        sizes = {values.shape[1:2] for name, values in columns.items() if name not in self._rows.labels}
        if not self._rows.columns <= columns.keys() or sizes != {(self.width,)}:
            raise ValueError(f"{self.kind} rows need {sorted(self._rows.columns)} of width {self.width}, got {list(columns)} of {sizes}")
        for name, mask in self._rows.targets.items():
            pad = self._padding(columns[name], columns[mask])
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
