"""Joins a fitted tokenizer and the counts of all shards into a directory that Hugging Face can load.

Only the training split is read, to fit (`fit.py`) and to verify the round trip, shard by shard (`restoring/`). What decoding restores, by
kind:
- byte_level_bpe, bpe, unigram: every text, byte for byte (what their vocabulary lacks is encoded as its bytes).
- character, wordpiece, word: every text whose characters, pieces or words are in the vocabulary; the rest becomes `<|unk|>` and is lost.
  `unknown_rate` is its share of the tokens, `lost_share` of the bytes.
This is verified on the whole training split each time: a text that should be restored and isn't raises TokenizerError.

Files: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja; report.json, measurements on the split
(`restoring/report.py`); and sample.parquet, the record of the sample.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, TOKENIZER_FILE, DescribeConfig, TokenizerConfig
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.fit import fit
from data.tokens.hugging_face import write_hugging_face_files, write_json
from data.tokens.restoring.counts import Counts
from data.tokens.restoring.report import make_report, report_metrics
from data.tokens.restoring.restore import restore


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
        restore(train, fitted, counted, config.restoring)
        return join(fitted, [counted], output, config.describing)
