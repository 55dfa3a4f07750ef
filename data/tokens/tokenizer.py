"""Joins a fitted tokenizer and the counts of all shards into a directory that Hugging Face can load.

Only the training split is read, to fit (`fit.py`) and to verify the round trip, shard by shard (`restoring.py`). What decoding restores, by
kind:
- byte_level_bpe, bpe, unigram: every text, byte for byte (what their vocabulary lacks is encoded as its bytes).
- character, wordpiece, word: every text whose characters, pieces or words are in the vocabulary; the rest becomes `<|unk|>` and is lost.
  `unknown_rate` is its share of the tokens, `lost_share` of the bytes.
This is verified on the whole training split each time: a text that should be restored and isn't raises TokenizerError.

Files: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja; report.json, measurements on the split;
and sample.parquet, the record of the sample.

Makes report.json of a tokenizer from the counts over the training split: figures, longest tokens, sizes tried, texts cut into tokens.

Equal counts give equal reports.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, TOKENIZER_FILE, DescribeConfig, TokenizerConfig
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.fit import fit
from data.tokens.restoring import Beginning, Counts, restore
from data.tokens.special import SPECIAL_TOKENS, write_hugging_face_files, write_json

LONGEST = 24


def make_report(encoder: TextEncoder, counts: Counts, kind: str, sweep: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of report.json."""
    sizes, used = encoder.token_bytes, counts.uses > 0
    named = {index: token for token, index in encoder.tokenizer.get_vocab(with_added_tokens=True).items()}
    longest = sorted((index for index in named if sizes[index]), key=lambda index: (-int(sizes[index]), index))[:LONGEST]
    learned = np.array([index for index in range(encoder.vocab_size) if index >= len(SPECIAL_TOKENS) and index != encoder.unknown])
    return {
        "kind": kind,
        "vocab_size": encoder.vocab_size,
        "used_share": float(used[learned].mean()) if len(learned) else 0.0,
        "whole": counts.whole.figures(),
        "sources": {name: tally.figures() for name, tally in sorted(counts.sources.items())},
        "longest": [{"id": i, "text": encoder.decode(np.array([i])), "bytes": int(sizes[i]), "uses": int(counts.uses[i])} for i in longest],
        "sweep": sweep,
        "samples": [_sample(encoder, beginning) for beginning in counts.beginnings],
    }


def report_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a report as flat metrics."""
    flat = {name: float(report["whole"][name]) for name in ("tokens", "bytes_per_token", "fertility", "unknown_rate", "lost_share")}
    flat |= {"vocab_size": float(report["vocab_size"]), "train_bytes": float(report["whole"]["bytes"]), "used_share": report["used_share"]}
    for name, figures in report["sources"].items():
        flat |= {f"{figure}_{name}": float(figures[figure]) for figure in ("bytes_per_token", "fertility", "unknown_rate")}
    return flat | {f"sweep_{row['size']}_bytes_per_token": row["bytes_per_token"] for row in report["sweep"]}


def _sample(encoder: TextEncoder, beginning: Beginning) -> dict[str, Any]:
    """Return a beginning as [id, text] for each token; a character's text belongs to its first token."""
    encoding = encoder.tokenizer.encode(beginning.text, add_special_tokens=False)
    cuts: list[list[Any]] = []
    done = 0
    for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        cuts.append([index, beginning.text[max(start, done) : end]])
        done = max(done, end)
    return {"id": beginning.id, "source": beginning.source, "unknown": encoder.unknown, "tokens": cuts}


def join(fitted: Path, counted: Sequence[Path], output: Path, config: DescribeConfig) -> dict[str, float]:
    """Write the tokenizer directory `output`. `fitted`, `counted`: folders that `fit` and, for each shard, `restore` wrote.

    Return vocab_size (tokens reached), used_share (of the vocabulary, in the split), tokens and train_bytes of the split, bytes_per_token
    (without lost bytes), fertility (tokens a word), unknown_rate (of the tokens), lost_share (of the bytes), the same by source, bytes per
    token of each size that a sweep tried, sample_bytes (of the text fitted on), sample_fraction, and round_trip_errors, which is 0, or the
    function raises TokenizerError.
    """
    encoder = TextEncoder(fitted)
    counts = Counts.joined(counted, encoder.vocab_size)
    if counts.failures:
        raise TokenizerError(
            f"{counts.failures} chunks of the training split are not restored from their ids, one of them in document {counts.failed}; "
            "the tokenizer is unusable"
        )
    record = json.loads((fitted / FITTED).read_text(encoding="utf-8"))
    content = make_report(encoder, counts, config.kind, record["sweep"])
    output.mkdir(parents=True, exist_ok=True)
    for name in (TOKENIZER_FILE, RECORD):
        shutil.copyfile(fitted / name, output / name)
    write_hugging_face_files(output, unknown=encoder.unknown is not None)
    write_json(output / "report.json", content)
    return {
        **report_metrics(content),
        "sample_bytes": float(record["sample_bytes"]),
        "sample_fraction": record["sample_bytes"] / record["train_bytes"],
        "round_trip_errors": float(counts.failures),
    }


def fit_tokenizer(train: Files, output: Path, config: TokenizerConfig) -> dict[str, float]:
    """Fit, verify and join without stages, over the split in the files `train`. Return and raise what the three do."""
    with TemporaryDirectory(prefix="fitting-") as folder:
        fitted, counted = Path(folder) / "fitted", Path(folder) / "counted"
        fit(train, fitted, config)
        restore(train, fitted / "tokenizer.json", counted, config.restoring)
        return join(fitted, [counted], output, config.describing)
