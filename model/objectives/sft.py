"""Supervised fine-tuning: next-token prediction on the answers alone.

The objective is that of pretraining; the rows make it fine-tuning. `loss` is true on the assistant's words and on the `<|end|>` after them,
so the model learns to answer and to stop, and learns nothing from the question. Conversations packed into one row do not attend to each
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from model.objectives.next_token import NextToken


@dataclass(frozen=True)
class Sft(NextToken):
    """`NextToken` over rows of conversations; units are answer tokens."""

    reads: ClassVar[tuple[str, ...]] = ("sft",)
