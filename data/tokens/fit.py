"""Fits the tokenizer on a sample of the training split.

Special tokens have the ids of `special.py`. Equal splits and settings give equal bytes, at any thread count. Memory holds the distinct
words of the sample. Costs a few passes over what was set apart for the sample, or over the split where nothing was. A corpus with little
to learn from gives fewer tokens than asked for; bytes and special tokens are always there. An empty split raises TokenizerError.

Files: tokenizer.json; sample.parquet, which lists every chunk of text that the tokenizer was fitted on (document id, number of the chunk,
bytes); fitted.json, the bytes of the sample and of the split, and the sizes that a sweep tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, TOKENIZER_FILE, TokenizerConfig
from data.tokens.hugging_face import write_json
from data.tokens.sampling.sample import Sample, write_record
from data.tokens.sweep import fit_best


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
