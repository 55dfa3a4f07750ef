"""Fits the tokenizer on the training split, and writes it as a directory that Hugging Face can load.

Special tokens have the ids of `special.py`. Equal splits and settings give equal bytes, at any thread count. Only the training split is
read. What decoding restores, by kind:
- byte_level_bpe, bpe, unigram: every text, byte for byte (what their vocabulary lacks is encoded as its bytes).
- character, wordpiece, word: every text whose characters, pieces or words are in the vocabulary; the rest becomes `<|unk|>` and is lost.
  `unknown_rate` is its share of the tokens, `lost_share` of the bytes.
This is verified on the whole training split each time: a text that should be restored and isn't raises TokenizerError.
Memory holds the distinct words of the sample. A few passes over what was set apart for the sample fit, and one over the split verifies.
A corpus with little to learn from gives fewer tokens than asked for (bytes and special tokens are always there): the metric `vocab_size`
says how many. An empty split and a failed round trip raise TokenizerError.

Files: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja; report.json, measurements on the split
(`tokenizer_report.py`); and sample.parquet, which lists every chunk of text that the tokenizer was fitted on (document id, number of the
chunk, bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.documents.stream import Files
from data.tokens.config import TokenizerConfig
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.hugging_face import write_hugging_face_files, write_json
from data.tokens.sampling.sample import Sample, write_record
from data.tokens.sweep import fit_best
from data.tokens.tokenizer_report import make_report, measure, report_metrics


def fit_tokenizer(
    train: Files, output: Path, config: TokenizerConfig, sizes: Sequence[Path] = (), drawn: Sequence[Path] = ()
) -> dict[str, float]:
    """Fit on the split in the files `train`, write the tokenizer directory `output`, and verify the round trip.

    `sizes`, `drawn`: how many bytes of text each shard has, and what was set apart of it for the sample. Without them the split is read
    once more, and as often as the sample is. The files are the same.
    Return vocab_size (tokens reached), used_share (of the vocabulary, in the split), tokens and train_bytes of the split, bytes_per_token
    (without lost bytes), fertility (tokens a word), unknown_rate (of the tokens), lost_share (of the bytes), the same by source, bytes per
    token of each size that a sweep tried, sample_bytes (of the text fitted on), sample_fraction, and round_trip_errors, which is 0, or the
    function raises TokenizerError.
    """
    sample = Sample.of(train, config, sizes, drawn)
    fitted, tried = fit_best(sample, config)
    output.mkdir(parents=True, exist_ok=True)
    fitted.encode_special_tokens = False  # tokenizer.json doesn't store it; every reader sets it again
    fitted.save(str(output / "tokenizer.json"))
    encoder = TextEncoder(output)
    measured = measure(encoder, train, config.seed)
    if measured.errors:
        raise TokenizerError(f"{measured.errors} chunks of the training split are not restored from their ids; the tokenizer is unusable")
    content = make_report(encoder, measured, config.kind, tried)
    write_hugging_face_files(output, unknown=encoder.unknown is not None)
    write_json(output / "report.json", content)
    write_record(output / "sample.parquet", sample.record)
    used = sum(size for _, _, size in sample.record)
    return {
        **report_metrics(content),
        "sample_bytes": float(used),
        "sample_fraction": used / sample.total,
        "round_trip_errors": float(measured.errors),
    }
