"""Chooses the size of a vocabulary by measuring: larger ones pack more text into a token, and cost the model an embedding each.

Rule: sizes are fitted from the smallest on and measured on text that the sample leaves out. From one to the next the gain is
(ratio of bytes per token - 1) / log2(ratio of sizes); bytes that an unknown token swallows don't count. The first size whose
next one gains less than `sweep_gain` is chosen, the last when none does.
Cost: one fit a size, up to the one after the chosen.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.tokens.config import TokenizerConfig
from data.tokens.encoder import token_bytes
from data.tokens.kinds import fit_kind
from data.tokens.sampling import Sample
from data.tokens.special import UNKNOWN

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Trial:
    """A size that was asked for, the tokens that the sample gave, and what it came to on the text left out.

    `bytes` are those that tokens tell. `gain`: the part of bytes per token won over the size before, for each doubling; None for the first.
    """

    size: int
    vocab_size: int
    bytes: int
    tokens: int
    unknown_rate: float
    gain: float | None

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens


def fit_best(sample: Sample, config: TokenizerConfig) -> tuple[Tokenizer, list[dict[str, Any]]]:
    """The tokenizer of the chosen size, and a row for each size that was tried (none without a sweep)."""
    if not config.sweep:
        return fit_kind(sample.texts, config, config.vocab_size), []
    left_out = list(sample.left_out())
    best = fit_kind(sample.texts, config, config.sweep[0])
    tried = [_measured(best, config.sweep[0], left_out, None)]
    chosen = 0
    for size in (*config.sweep[1:], config.vocab_size):
        fitted = fit_kind(sample.texts, config, size)
        tried.append(_measured(fitted, size, left_out, tried[-1]))
        if (tried[-1].gain or 0.0) < config.sweep_gain:
            break
        best, chosen = fitted, chosen + 1
    return best, [asdict(row) | {"bytes_per_token": row.bytes_per_token, "chosen": place == chosen} for place, row in enumerate(tried)]


def _measured(fitted: Tokenizer, size: int, texts: list[str], before: Trial | None) -> Trial:
    fitted.encode_special_tokens = True
    reached, unknown = fitted.get_vocab_size(with_added_tokens=True), fitted.token_to_id(UNKNOWN)
    uses = np.zeros(reached, dtype=np.int64)
    for encoding in fitted.encode_batch_fast(texts, add_special_tokens=False):
        uses += np.bincount(np.array(encoding.ids, dtype=np.int64), minlength=reached)
    tokens, held = int(uses.sum()), int(uses @ token_bytes(fitted))
    lost = 0 if unknown is None else int(uses[unknown])
    gain = None
    if before is not None:
        doublings = math.log2(reached / before.vocab_size)
        gain = (held / tokens / before.bytes_per_token - 1) / doublings if doublings > 0 else 0.0
    return Trial(size, reached, held, tokens, lost / tokens, gain)
