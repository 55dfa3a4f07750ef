"""Packs splits of documents into rows for pretraining, with conversations mixed into the training rows.

Every token of every document is in some row, and every token except each `<|bos|>` is a target exactly once (`layout` says how rows are
made), so the `bytes` of a split are exactly the UTF-8 bytes of its texts (for training rows: and of the conversations mixed in). Every
token is accounted for by source and checked against the rows written. Equal inputs give equal bytes, for any number of threads.
With several passes (`augment`), every document of the training split comes once in each, and is counted each time.
Time is spent on tokenizing. Memory holds the rows of one shard file, the conversations, and some hundred bytes a document; the tokens of a
split are in a file in `scratch` until it is packed.
A training split without text raises ValueError. Conversations longer than a row, and invalid lines, go to ledger.jsonl and are counted.

Files: one shard directory for each split (`train/ val/ test/`); documents.parquet (each document's split, source, tokens, bytes, first and
last row); accounting/ (see accounting.py); ledger.jsonl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.documents.stream import Files
from data.shards.metadata import SourceRows
from data.tokens.accounting import TokenCounts, accounting_metrics, count_tokens, require_balance, write_accounting
from data.tokens.augmentation.augmenter import Augmenter
from data.tokens.chat import LineLedger
from data.tokens.config import CONVERSATIONS, PackConfig
from data.tokens.document_index import documents_table, write_documents
from data.tokens.encoder import TextEncoder
from data.tokens.layout import RowLayout, make_layout
from data.tokens.mixing import ConversationRows, conversation_rows, spread_evenly
from data.tokens.rows import Columns
from data.tokens.spelling import COLUMN as SPELLING
from data.tokens.spelling import spelling_table
from data.tokens.stream import Stream, read_stream
from data.tokens.token_shards import TokenShardWriter

if TYPE_CHECKING:
    import pyarrow as pa

TOKENS_AT_ONCE = 2**21
AUGMENTED = "train"  # the only split that is augmented


def pack(
    splits: Mapping[str, Files],
    tokenizer: Path,
    conversations: Path | None,
    output: Path,
    config: PackConfig,
    *,
    scratch: Path | None = None,
) -> dict[str, float]:
    """Pack each split (name -> its Parquet files, read by id) into `output/<name>`.

    `conversations` is instructions_train.jsonl or its directory; its rows go only into the split called "train". None, or a file without
    conversations, mixes none in. `scratch` is the folder for the tokens of a split; None: the system's temporary folder.
    Return metrics with the split's name as prefix: rows, tokens, targets, bytes, padding_fraction, documents, those of
    `accounting_metrics`, and unknown (`<|unk|>` among the targets) if the tokenizer has it. Then instruction_rows, instruction_rounds (how
    often the conversations were repeated), removed, quarantined.
    """
    encoder = TextEncoder(tokenizer)
    tables = {SPELLING: spelling_table(encoder.spellings, config.spelling)} if config.spelling else {}
    ledger = LineLedger("pack")
    metrics: dict[str, float] = {"instruction_rows": 0.0, "instruction_rounds": 0.0}
    documents: list[pa.Table] = []
    all_counts: list[TokenCounts] = []
    for name, files in splits.items():
        with TemporaryDirectory(dir=scratch, prefix="pack-") as folder:
            augmenter = Augmenter(config.augment, encoder, config.seed) if name == AUGMENTED else None
            stream = read_stream(encoder, files, config.seed, Path(folder), augmenter)
            texts = [make_layout(part, config.method, config.sequence_length) for part in _parts(stream, config)]
            conversation_part = ConversationRows(config.sequence_length + 1, encoder.dtype)
            if name == "train" and not stream.bytes.sum():
                raise ValueError(f"split {name} holds no text to train on; check what cleaning and splitting removed")
            if name == "train" and conversations is not None and config.instruction_fraction:
                file = conversations / "instructions_train.jsonl" if conversations.is_dir() else conversations
                conversation_part = conversation_rows(encoder, file, sum(text.rows for text in texts), config, ledger)
                metrics |= {"instruction_rows": float(conversation_part.rows), "instruction_rounds": conversation_part.rounds}
            layouts: list[RowLayout] = [*texts, *([conversation_part] if conversation_part.rows else [])]
            which = _order(layouts, config)
            writer = TokenShardWriter(output / name, "pretrain", config.sequence_length, encoder, config.shard_rows, stream.unknown_size)
            _write_rows(writer, layouts, which, tables)
            token_counts = [counted for text in texts for counted in count_tokens(name, text)]
            token_counts += [conversation_part.count_tokens(name)] if conversation_part.kept or conversation_part.too_long else []
            names = [*dict.fromkeys(counted.source for counted in token_counts)] if config.by_source else []
            rows_of = [_source_rows(source, layout) for source, layout in zip(names, layouts, strict=False)]
            counts = writer.close(rows_of, tables)
            require_balance(name, token_counts, writer)
            metrics |= {f"{name}_{key}": value for key, value in counts.items()}
            metrics[f"{name}_documents"] = float(len(set(stream.ids)))
            documents += [documents_table(name, text, np.flatnonzero(which == number)) for number, text in enumerate(texts)]
            all_counts += token_counts
    metrics |= accounting_metrics(all_counts)
    metrics["removed"] = float(ledger.counted("removed"))
    metrics["quarantined"] = float(ledger.counted("quarantined"))
    ledger.write(output / "ledger.jsonl")
    write_accounting(output / "accounting", all_counts, metrics)
    write_documents(output / "documents.parquet", documents)
    return metrics


def _source_rows(source: str, layout: RowLayout) -> SourceRows:
    """Return what a source has: of documents also their targets, every token but the first, and the bytes of their text."""
    stream: Stream | None = getattr(layout, "stream", None)
    if stream is None:
        return SourceRows(source, layout.rows)
    return SourceRows(source, layout.rows, int((stream.lengths - 1).sum()), int(stream.bytes.sum()))


def _parts(stream: Stream, config: PackConfig) -> list[Stream]:
    """Return the streams that are packed separately."""
    if not config.by_source:
        return [stream]
    parts = stream.by_source()
    if CONVERSATIONS in parts:
        raise ValueError(
            f"pack.by_source=true, but {CONVERSATIONS!r} is also the name of a source; rename the source, since conversation rows use it"
        )
    return list(parts.values())


def _order(layouts: Sequence[RowLayout], config: PackConfig) -> NDArray[np.int64]:
    """Return the layout of each row: source after source, or conversations spread evenly among the text; int64 [rows]."""
    if config.by_source or len(layouts) == 1:
        return np.repeat(np.arange(len(layouts)), [layout.rows for layout in layouts])
    return spread_evenly(layouts[0].rows, layouts[1].rows).astype(np.int64)


def _write_rows(writer: TokenShardWriter, layouts: Sequence[RowLayout], which: NDArray[np.int64], tables: Columns) -> None:
    """Write the rows of all layouts in order, a few million tokens at a time, with the columns that `tables` gives for each token."""
    done = [0] * len(layouts)
    values_at_once = writer.width * (1 + sum(table.shape[1] for table in tables.values()))
    some = max(1, TOKENS_AT_ONCE // values_at_once)
    for start in range(0, len(which), some):
        here = which[start : start + some]
        numbers = np.unique(here).tolist()
        columns: Columns = {}
        shared = 0
        for number in numbers:
            rows = here == number
            built, repeated = layouts[number].build_rows(done[number], int(rows.sum()))
            done[number] += int(rows.sum())
            shared += repeated
            for name, values in built.items():
                if len(numbers) > 1:
                    columns.setdefault(name, np.empty((len(here), writer.width), dtype=values.dtype))[rows] = values
                else:
                    columns[name] = values
        columns |= {name: table[columns["tokens"]] for name, table in tables.items()}
        writer.add(columns, shared=shared)
