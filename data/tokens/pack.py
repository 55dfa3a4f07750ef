"""Packs splits of documents into rows for pretraining, with conversations mixed into the training rows.

Guarantee: every token of every document is held, and except each `<|bos|>` is a target exactly once
(`rows.cut_stream` states the rule), so the `bytes` of a split are exactly the UTF-8 bytes of its texts (of training
rows: and of the conversations mixed in). Same inputs, same bytes, whatever the threads.
Cost: two to four bytes of memory a token, twice; tokenizing takes the time.
When it can't: a training split without text raises ValueError. Conversations longer than a row, and lines that are
none, go to ledger.jsonl and are counted.

Files: one shard directory for each split given (`train/ val/ test/`); documents.parquet (each document's split,
source, tokens, bytes, first and last row: what to look at, or take down); ledger.jsonl.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.tokens.chat import Ledger
from data.tokens.config import PackConfig
from data.tokens.encoder import TextEncoder
from data.tokens.mixing import conversation_rows, even_places
from data.tokens.rows import Row, cut_stream, lay_whole, stream_rows
from data.tokens.shard_writer import ShardWriter
from data.tokens.stream import Stream, read_stream


def pack(splits: dict[str, Path], tokenizer: Path, conversations: Path | None, output: Path, config: PackConfig) -> dict[str, float]:
    """Pack each split (name -> its Parquet file) into `output/<name>`.

    `conversations` is instructions_train.jsonl or its directory; its rows go into the split called "train" alone.
    None, or a file without conversations, mixes none in.
    Metrics, each with the split's name in front: rows, tokens, targets, bytes, padding_fraction, documents,
    tokens_<source>, and unknown (`<|unk|>` among the targets) where the tokenizer has it. Then instruction_rows,
    instruction_rounds (how often the conversations came round), removed, quarantined.
    """
    encoder = TextEncoder(tokenizer)
    ledger = Ledger("pack")
    metrics: dict[str, float] = {"instruction_rows": 0.0, "instruction_rounds": 0.0}
    records: list[dict[str, str | int]] = []
    for name, path in splits.items():
        stream = read_stream(encoder, path, config.seed)
        text_rows = stream_rows(len(stream.tokens), config.sequence_length)
        mixed: list[Row] = []
        if name == "train" and not sum(account.bytes for account in stream.accounts):
            raise ValueError(f"{path} holds no text to train on; look at what cleaning and splitting removed")
        if name == "train" and conversations is not None and config.instruction_fraction:
            file = conversations / "instructions_train.jsonl" if conversations.is_dir() else conversations
            mixed, metrics["instruction_rounds"] = conversation_rows(encoder, file, text_rows, config, ledger)
            metrics["instruction_rows"] = float(len(mixed))
        is_mixed = even_places(text_rows, len(mixed))
        writer = ShardWriter(output / name, "pretrain", config.sequence_length, encoder, config.shard_rows, stream.unknown_size)
        _write_rows(writer, stream, mixed, is_mixed)
        metrics |= {f"{name}_{key}": value for key, value in writer.close().items()}
        metrics |= _account(name, stream, np.flatnonzero(~is_mixed), config.sequence_length, records)
    metrics["removed"] = float(ledger.counted("removed"))
    metrics["quarantined"] = float(ledger.counted("quarantined"))
    ledger.write(output / "ledger.jsonl")
    _write_documents(output / "documents.parquet", records)
    return metrics


def _write_rows(writer: ShardWriter, stream: Stream, mixed: list[Row], is_mixed: NDArray[np.bool_]) -> None:
    """Write text rows and mixed-in rows in their places, one shard's rows at a time."""
    text = other = 0
    for start in range(0, len(is_mixed), writer.shard_rows):
        here = is_mixed[start : start + writer.shard_rows]
        others = int(here.sum())
        texts = len(here) - others
        cut = cut_stream(stream.tokens, text, texts, writer.width - 1)
        laid = lay_whole(mixed[other : other + others], writer.width, writer.encoder.dtype)
        columns = {name: np.empty((len(here), writer.width), dtype=values.dtype) for name, values in cut.items()}
        for name, values in columns.items():
            values[~here] = cut[name]
            values[here] = laid[name]
        # Each row of text begins with the token that ended the row before it; the very first has none before it.
        writer.add(columns, shared=texts - (1 if text == 0 and texts else 0))
        text += texts
        other += others


def _account(name: str, stream: Stream, places: NDArray[np.int64], length: int, records: list[dict[str, str | int]]) -> dict[str, float]:
    """Note the rows of each document in `records`; returns the split's documents and its tokens by source."""
    by_source: dict[str, int] = defaultdict(int)
    for account in stream.accounts:
        by_source[account.source] += account.tokens
        # A token that two rows share is a target in the earlier one, and is looked for there.
        first = max(0, account.start - 1) // length
        last = max(0, account.start + account.tokens - 2) // length
        records.append(
            {
                "id": account.id,
                "split": name,
                "source": account.source,
                "tokens": account.tokens,
                "bytes": account.bytes,
                "first_row": int(places[first]),
                "last_row": int(places[last]),
            }
        )
    counts = {f"{name}_tokens_{source}": float(count) for source, count in sorted(by_source.items())}
    return {f"{name}_documents": float(len(stream.accounts)), **counts}


def _write_documents(path: Path, records: list[dict[str, str | int]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("id", "split", "source", "tokens", "bytes", "first_row", "last_row")
    schema = pa.schema([(name, pa.string() if name in names[:3] else pa.int64()) for name in names])
    ordered = sorted(records, key=lambda record: (record["id"], record["split"]))
    pq.write_table(pa.Table.from_pylist(ordered, schema=schema), path, compression="zstd")
