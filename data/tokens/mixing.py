"""Which conversation rows go among the rows of text, and where.

Rule: all conversations are shuffled and packed whole into rows; when those rows run out the conversations are shuffled
anew and packed again, and so on; the last round is cut off once there are enough rows. Among the rows of text they
come at even distances. In these rows the whole conversation counts in the loss, questions included.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.tokens.chat import Ledger, conversation_fault, encode_conversations, read_lines
from data.tokens.config import PackConfig
from data.tokens.documents import hash_place
from data.tokens.encoder import TextEncoder
from data.tokens.rows import Row, plan_whole
from data.tokens.special import BOS


def conversation_rows(encoder: TextEncoder, path: Path, text_rows: int, config: PackConfig, ledger: Ledger) -> tuple[list[Row], float]:
    """The conversation rows that make up `instruction_fraction` beside `text_rows`, and the rounds they took.

    No rows when the file holds no conversation that fits a row; lines left out are in the ledger.
    """
    wanted = round(text_rows * config.instruction_fraction / (1 - config.instruction_fraction))
    lines = [(number, value["messages"]) for number, value in read_lines(path, conversation_fault, ledger)]
    width = config.sequence_length + 1
    kept: Row = []
    for conversation in encode_conversations(encoder, lines):
        if len(conversation.ids) > width:
            ledger.note(path.name, conversation.line, "removed", "longer than a row", len(conversation.ids))
        else:
            kept.append((conversation.ids, conversation.ids != BOS))
    rows: list[Row] = []
    rounds = 0.0
    turn = 0
    while kept and len(rows) < wanted:
        order = sorted(range(len(kept)), key=lambda number: hash_place(config.seed, "round", turn, number))
        packed = plan_whole([len(kept[number][0]) for number in order], width)
        rounds += min(1.0, (wanted - len(rows)) / len(packed))
        rows += [[kept[order[number]] for number in numbers] for numbers in packed]
        turn += 1
    return rows[:wanted], rounds


def even_places(text_rows: int, mixed_rows: int) -> NDArray[np.bool_]:
    """Where mixed-in rows come among all rows, at even distances; bool [text_rows + mixed_rows]."""
    places = np.arange(text_rows + mixed_rows + 1, dtype=np.int64) * mixed_rows // max(1, text_rows + mixed_rows)
    return np.diff(places) > 0
