"""Supervised fine-tuning: next-token prediction on the answers alone.

The same objective as pretraining applied to other rows. What makes it fine-tuning is in the rows: `loss` is true on the
assistant's words and on the `<|end|>` that closes them, so the model learns to answer and to stop, and nothing is
learned from the question. Conversations packed into one row do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from model.objectives.next_token import NextToken


@dataclass(frozen=True)
class Sft(NextToken):
    """`NextToken` over rows of conversations; units are answer tokens."""

    shard_kinds: ClassVar[tuple[str, ...]] = ("sft",)
