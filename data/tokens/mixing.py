"""Chooses the conversation rows that are mixed into the rows of text, and their positions.

All conversations are shuffled and packed whole into rows; when those rows run out, the conversations are shuffled and packed again, until
there are enough rows. They are spread evenly among the rows of text. In these rows the whole conversation counts in the loss, questions
included.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.conversations.schema import conversation_fault
from data.tokens.accounting import TokenCounts
from data.tokens.chat import LineLedger, chat_of, fitting_conversations, read_lines
from data.tokens.config import CONVERSATIONS, PackConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TextEncoder
from data.tokens.rows import Columns, Row, best_fit, fill_rows
from data.tokens.special import PAD


@dataclass(frozen=True)
class ConversationRows:
    """Rows of whole conversations: which of `kept` each row holds, and how many rounds of all conversations they make."""

    width: int
    dtype: np.dtype[Any]
    kept: Row = field(default_factory=list)
    plan: list[list[int]] = field(default_factory=list)
    rounds: float = 0.0
    too_long: int = 0  # tokens of conversations that are longer than a row
    pad: int = PAD

    @property
    def rows(self) -> int:
        return len(self.plan)

    def build_rows(self, first: int, count: int) -> tuple[Columns, int]:
        """Build rows as `layout.Layout` says. A conversation used again counts again, so no token is shared."""
        rows = [[self.kept[number] for number in numbers] for numbers in self.plan[first : first + count]]
        return fill_rows(rows, self.width, self.dtype, self.pad), 0

    def count_tokens(self, split: str) -> TokenCounts:
        """Return their counts for the accounting."""
        times = Counter(number for numbers in self.plan for number in numbers)
        sizes = [len(ids) for ids, _ in self.kept]
        placed = sum(sizes[number] * count for number, count in times.items())
        once = sum(sizes[number] for number in times)
        tokens = sum(sizes) + self.too_long
        return TokenCounts(split, CONVERSATIONS, len(times), tokens, tokens - once, 0, 0, placed - once, self.rows * self.width - placed)


def conversation_rows(encoder: TextEncoder, path: Path, text_rows: int, config: PackConfig, ledger: LineLedger) -> ConversationRows:
    """Return the conversation rows that, added to `text_rows`, make up `instruction_fraction`.

    No rows if the file has no conversation that fits a row; lines left out are in the ledger.
    """
    wanted = round(text_rows * config.instruction_fraction / (1 - config.instruction_fraction))
    chats = [chat_of(number, value) for number, value in read_lines(path, conversation_fault, ledger)]
    width = config.sequence_length + 1
    removed = LineLedger("pack")
    fitting = fitting_conversations(encoder, chats, width, path.name, removed)
    kept = [(one.ids, np.arange(len(one.ids)) > 0) for one in fitting]
    too_long = sum(int(line["tokens"]) for line in removed.lines)
    ledger.lines += removed.lines
    plan: list[list[int]] = []
    rounds = 0.0
    turn = 0
    while kept and len(plan) < wanted:
        order = sorted(range(len(kept)), key=lambda number: shuffle_key(config.seed, "round", turn, number))
        packed = best_fit([len(kept[number][0]) for number in order], width)
        rounds += min(1.0, (wanted - len(plan)) / len(packed))
        plan += [[order[number] for number in numbers] for numbers in packed]
        turn += 1
    return ConversationRows(width, encoder.dtype, kept, plan[:wanted], rounds, too_long, encoder.roles.padding)


def spread_evenly(text_rows: int, mixed_rows: int) -> NDArray[np.bool_]:
    """Return which of all rows are mixed-in ones, at even distances; bool [text_rows + mixed_rows]."""
    counts = np.arange(text_rows + mixed_rows + 1, dtype=np.int64) * mixed_rows // max(1, text_rows + mixed_rows)
    return np.diff(counts) > 0
