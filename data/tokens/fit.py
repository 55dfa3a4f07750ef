"""Fits the tokenizer on a sample of the training split.

Special tokens have the ids of `special.py`. Equal splits and settings give equal bytes, at any thread count. Memory holds the distinct
words of the sample. Costs a few passes over what was set apart for the sample, or over the split where nothing was. A corpus with little
to learn from gives fewer tokens than asked for; bytes and special tokens are always there. An empty split raises TokenizerError.

Files: tokenizer.json; sample.parquet, which lists every chunk of text that the tokenizer was fitted on (document id, number of the chunk,
bytes); fitted.json, the bytes of the sample and of the split, and the sizes that a sweep tried.

Chooses the size of a vocabulary by measuring: a larger one encodes more bytes in a token, but costs the model more embeddings.

Sizes are fitted in ascending order and measured on text held out of the sample. The gain from one size to the next is (ratio of bytes per
token - 1) / log2(ratio of sizes); bytes lost to unknown tokens don't count. The first size whose successor gains less than `sweep_gain` is
chosen, or else the last. Costs one fit for each size up to the successor of the chosen one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, TOKENIZER_FILE, TokenizerConfig
from data.tokens.encoder import byte_counts, token_spellings
from data.tokens.kinds import fit_kind
from data.tokens.sampling import Sample, write_record
from data.tokens.special import UNKNOWN, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class SizeTrial:
    """The measurement of one size on held-out text; `vocab_size` is the size that the sample allowed.

    `bytes` excludes those lost to unknown tokens. `gain`: relative gain in bytes per token over the previous size, for each doubling; None
    for the first.
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
    """Return the tokenizer of the chosen size, and a row for each size that was tried (none without a sweep)."""
    if not config.sweep:
        return fit_kind(sample.texts, config, config.vocab_size), []
    held_out = list(sample.held_out())
    best = fit_kind(sample.texts, config, config.sweep[0])
    tried = [_measure(best, config.sweep[0], held_out, None)]
    chosen = 0
    for size in (*config.sweep[1:], config.vocab_size):
        fitted = fit_kind(sample.texts, config, size)
        tried.append(_measure(fitted, size, held_out, tried[-1]))
        if (tried[-1].gain or 0.0) < config.sweep_gain:
            break
        best, chosen = fitted, chosen + 1
    return best, [asdict(row) | {"bytes_per_token": row.bytes_per_token, "chosen": index == chosen} for index, row in enumerate(tried)]


def _measure(fitted: Tokenizer, size: int, texts: list[str], before: SizeTrial | None) -> SizeTrial:
    fitted.encode_special_tokens = True
    reached, unknown = fitted.get_vocab_size(with_added_tokens=True), fitted.token_to_id(UNKNOWN)
    uses = np.zeros(reached, dtype=np.int64)
    for encoding in fitted.encode_batch_fast(texts, add_special_tokens=False):
        uses += np.bincount(np.array(encoding.ids, dtype=np.int64), minlength=reached)
    tokens, size_in_bytes = int(uses.sum()), int(uses @ byte_counts(token_spellings(fitted)))
    lost = 0 if unknown is None else int(uses[unknown])
    gain = None
    if before is not None:
        doublings = math.log2(reached / before.vocab_size)
        gain = (size_in_bytes / tokens / before.bytes_per_token - 1) / doublings if doublings > 0 else 0.0
    return SizeTrial(size, reached, size_in_bytes, tokens, lost / tokens, gain)


def fit(train: Files, output: Path, config: TokenizerConfig, sizes: Sequence[Path] = (), drawn: Sequence[Path] = ()) -> dict[str, float]:
    """Fit on the split in the files `train`, and write the files into `output`.

    `sizes`, `drawn`: how many bytes of text each shard has, and what was set apart of it for the sample. Without them the split is read
    once more, and as often as the sample is. The files are the same.
    Return vocab_size (tokens reached), sample_bytes (of the text fitted on) and sample_fraction.
    """
    sample = Sample.of(train, config, sizes, drawn)
    fitted, tried = fit_best(sample, config)
    output.mkdir(parents=True, exist_ok=True)
    fitted.encode_special_tokens = False  # tokenizer.json doesn't store it; every reader sets it again
    fitted.save(str(output / TOKENIZER_FILE))
    write_record(output / RECORD, sample.record)
    used = sum(size for _, _, size in sample.record)
    write_json(output / FITTED, {"sample_bytes": used, "train_bytes": sample.total, "sweep": tried})
    vocab_size = fitted.get_vocab_size(with_added_tokens=True)
    return {"vocab_size": float(vocab_size), "sample_bytes": float(used), "sample_fraction": used / sample.total}
