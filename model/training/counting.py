"""Make a network that is counted: one pass over the packed training rows, in this process.

Guarantee: the same rows and config give the same bytes. Nothing is kept of a pass that was killed, since it takes seconds: a million
tokens take about two. The step log is empty, as there are no steps.
"""

from __future__ import annotations

from pathlib import Path

from data.baselines.ngram import count, read_targets, spread
from data.shards.reader import ShardReader
from model.networks.config import NgramConfig
from model.networks.directory import TOKENIZER_DIGEST, save_model, write_atomically


def count_model(config: NgramConfig, shards: Path, output: Path) -> dict[str, float]:
    """Count `shards/train` and write a model directory; return how much was counted and what is kept of it.

    Metrics: rows, and rows_counted (fewer where `most_tokens` is less than they hold); targets (tokens that were predicted); ngrams, of
    all lengths; parameters, the numbers that are kept. Raise ValueError for rows without a target.
    """
    reader = ShardReader(shards / "train")
    packed = reader.metadata
    rows = spread(len(reader), config.most_tokens // packed.sequence_length)
    targets = read_targets(reader, rows)
    network = config.build(packed.vocab_size)
    levels = count(targets, vocab_size=packed.vocab_size, order=config.order, beginning=packed.begin)
    network.fill(levels)
    save_model(network, output, extra={TOKENIZER_DIGEST: packed.tokenizer_digest})
    write_atomically(output / "history.jsonl", b"")
    return {
        "rows": float(len(reader)),
        "rows_counted": float(len(rows)),
        "targets": float(len(targets.at)),
        "ngrams": float(sum(len(level.token) for level in levels)),
        "parameters": float(sum(parameter.numel() for parameter in network.parameters())),
    }
