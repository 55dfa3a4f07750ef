"""Packs splits of documents into rows for pretraining, with conversations mixed into the training rows.

Guarantee: every token of every document is held, and except each `<|bos|>` is a target exactly once (`layout` states how rows are
made), so the `bytes` of a split are exactly the UTF-8 bytes of its texts (of training rows: and of the conversations mixed in).
What became of every token is accounted for by source, and checked against the rows written. Same inputs, same bytes, whatever
the threads.
Cost: tokenizing takes the time. Memory holds the rows of one shard file, the conversations, and some hundred bytes a document;
a split's tokens lie in a file in `scratch` until it is packed.
When it can't: a training split without text raises ValueError. Conversations longer than a row, and lines that are
none, go to ledger.jsonl and are counted.

Files: one shard directory for each split given (`train/ val/ test/`); documents.parquet (each document's split,
source, tokens, bytes, first and last row: what to look at, or take down); accounting/ (see accounting.py); ledger.jsonl.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.tokens.accounting import TokenCounts, accounting_metrics, count_tokens, require_balance, write_accounting
from data.tokens.chat import LineLedger
from data.tokens.config import CONVERSATIONS, PackConfig
from data.tokens.document_index import documents_table, write_documents
from data.tokens.encoder import TextEncoder
from data.tokens.layout import Layout, make_layout
from data.tokens.mixing import ConversationRows, conversation_rows, spread_evenly
from data.tokens.rows import Columns
from data.tokens.shard_writer import ShardWriter
from data.tokens.stream import Stream, read_stream

if TYPE_CHECKING:
    import pyarrow as pa

PLACES_AT_ONCE = 2**21


def pack(
    splits: dict[str, Path], tokenizer: Path, conversations: Path | None, output: Path, config: PackConfig, *, scratch: Path | None = None
) -> dict[str, float]:
    """Pack each split (name -> its Parquet file) into `output/<name>`.

    `conversations` is instructions_train.jsonl or its directory; its rows go into the split called "train" alone.
    None, or a file without conversations, mixes none in. `scratch`: where the tokens of a split wait; None: the system's folder.
    Metrics, each with the split's name in front: rows, tokens, targets, bytes, padding_fraction, documents, those of
    `accounting.metrics_of`, and unknown (`<|unk|>` among the targets) where the tokenizer has it. Then instruction_rows,
    instruction_rounds (how often the conversations came round), removed, quarantined.
    """
    encoder = TextEncoder(tokenizer)
    ledger = LineLedger("pack")
    metrics: dict[str, float] = {"instruction_rows": 0.0, "instruction_rounds": 0.0}
    documents: list[pa.Table] = []
    account: list[TokenCounts] = []
    for name, path in splits.items():
        with TemporaryDirectory(dir=scratch, prefix="pack-") as folder:
            stream = read_stream(encoder, path, config.seed, Path(folder))
            texts = [make_layout(part, config.method, config.sequence_length) for part in _parts(stream, config)]
            talks = ConversationRows(config.sequence_length + 1, encoder.dtype)
            if name == "train" and not stream.bytes.sum():
                raise ValueError(f"{path} holds no text to train on; look at what cleaning and splitting removed")
            if name == "train" and conversations is not None and config.instruction_fraction:
                file = conversations / "instructions_train.jsonl" if conversations.is_dir() else conversations
                talks = conversation_rows(encoder, file, sum(text.rows for text in texts), config, ledger)
                metrics |= {"instruction_rows": float(talks.rows), "instruction_rounds": talks.rounds}
            layouts: list[Layout] = [*texts, *([talks] if talks.rows else [])]
            which = _order(layouts, config)
            writer = ShardWriter(output / name, "pretrain", config.sequence_length, encoder, config.shard_rows, stream.unknown_size)
            _write_rows(writer, layouts, which)
            lines = [line for text in texts for line in count_tokens(name, text)]
            lines += [talks.line(name)] if talks.kept or talks.too_long else []
            names = [*dict.fromkeys(line.source for line in lines)] if config.by_source else []
            counts = writer.close({source: layout.rows for source, layout in zip(names, layouts, strict=False)})
            require_balance(name, lines, writer)
            metrics |= {f"{name}_{key}": value for key, value in counts.items()}
            metrics[f"{name}_documents"] = float(len(stream.ids))
            documents += [documents_table(name, text, np.flatnonzero(which == number)) for number, text in enumerate(texts)]
            account += lines
    metrics |= accounting_metrics(account)
    metrics["removed"] = float(ledger.counted("removed"))
    metrics["quarantined"] = float(ledger.counted("quarantined"))
    ledger.write(output / "ledger.jsonl")
    write_accounting(output / "accounting", account, metrics)
    write_documents(output / "documents.parquet", documents)
    return metrics


def _parts(stream: Stream, config: PackConfig) -> list[Stream]:
    """The streams that are packed apart from each other."""
    if not config.by_source:
        return [stream]
    parts = stream.by_source()
    if CONVERSATIONS in parts:
        raise ValueError(f"pack.by_source=true, but a source is called {CONVERSATIONS!r}, as the rows of conversations are; rename it")
    return list(parts.values())


def _order(layouts: Sequence[Layout], config: PackConfig) -> NDArray[np.int64]:
    """Which layout each row comes from: source after source, or conversations at even distances among the text; int64 [rows]."""
    if config.by_source or len(layouts) == 1:
        return np.repeat(np.arange(len(layouts)), [layout.rows for layout in layouts])
    return spread_evenly(layouts[0].rows, layouts[1].rows).astype(np.int64)


def _write_rows(writer: ShardWriter, layouts: Sequence[Layout], which: NDArray[np.int64]) -> None:
    """Write the rows of all layouts in their places, a few million places at a time."""
    done = [0] * len(layouts)
    some = max(1, PLACES_AT_ONCE // writer.width)
    for start in range(0, len(which), some):
        here = which[start : start + some]
        numbers = np.unique(here).tolist()
        columns: Columns = {}
        shared = 0
        for number in numbers:
            rows = here == number
            laid, again = layouts[number].lay(done[number], int(rows.sum()))
            done[number] += int(rows.sum())
            shared += again
            for name, values in laid.items():
                if len(numbers) > 1:
                    columns.setdefault(name, np.empty((len(here), writer.width), dtype=values.dtype))[rows] = values
                else:
                    columns[name] = values
        writer.add(columns, shared=shared)
