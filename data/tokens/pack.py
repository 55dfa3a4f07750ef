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

Chooses the conversation rows that are mixed into the rows of text, and their positions.

All conversations are shuffled and packed whole into rows; when those rows run out, the conversations are shuffled and packed again, until
there are enough rows. They are spread evenly among the rows of text. In these rows the whole conversation counts in the loss, questions
included.

A vector for each token from how it is spelled: its hashed character n-grams, as in fastText.

Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information": a word between `<` and `>` is the bag of its n-grams of 3 to 6
characters, each hashed (FNV-1a) to a bucket with a learned vector. Here a token is the bag of its n-grams of bytes, `width` buckets wide
and of length 1, so a learned projection of it is the sum of its buckets' vectors, scaled. Tokens spelled alike have vectors alike. Special
tokens and `<|unk|>`, which have no spelling, have zeros.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.conversations.records import conversation_fault
from data.documents.stream import Files
from data.shards.metadata import SourceRows
from data.shards.schema import WORDS
from data.tokens.augmentation import Augmenter
from data.tokens.chat import LineLedger, chat_of, fitting_conversations, read_lines
from data.tokens.config import CONVERSATIONS, PackConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TextEncoder, word_joins
from data.tokens.layout import RowLayout, documents_table, make_layout, write_documents
from data.tokens.rows import Columns, Row, best_fit, fill_rows
from data.tokens.special import PAD
from data.tokens.stream import Stream, read_stream
from data.tokens.token_shards import TokenCounts, TokenShardWriter, accounting_metrics, count_tokens, require_balance, write_accounting

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ConversationRows:
    """Rows of whole conversations: which of `kept` each row holds, and how many rounds of all conversations they make."""

    width: int
    dtype: np.dtype[Any]
    kept: Row = field(default_factory=list)
    plan: list[list[int]] = field(default_factory=list)
    rounds: float = 0.0
    too_long: int = 0  # tokens of conversations that are longer than a row
    pad: int = PAD

    @property
    def rows(self) -> int:
        return len(self.plan)

    def build_rows(self, first: int, count: int) -> tuple[Columns, int]:
        """Build rows as `layout.Layout` says. A conversation used again counts again, so no token is shared."""
        rows = [[self.kept[number] for number in numbers] for numbers in self.plan[first : first + count]]
        return fill_rows(rows, self.width, self.dtype, self.pad), 0

    def count_tokens(self, split: str) -> TokenCounts:
        """Return their counts for the accounting."""
        times = Counter(number for numbers in self.plan for number in numbers)
        sizes = [len(ids) for ids, _ in self.kept]
        placed = sum(sizes[number] * count for number, count in times.items())
        once = sum(sizes[number] for number in times)
        tokens = sum(sizes) + self.too_long
        return TokenCounts(split, CONVERSATIONS, len(times), tokens, tokens - once, 0, 0, placed - once, self.rows * self.width - placed)


def conversation_rows(encoder: TextEncoder, path: Path, text_rows: int, config: PackConfig, ledger: LineLedger) -> ConversationRows:
    """Return the conversation rows that, added to `text_rows`, make up `instruction_fraction`.

    No rows if the file has no conversation that fits a row; lines left out are in the ledger.
    """
    wanted = round(text_rows * config.instruction_fraction / (1 - config.instruction_fraction))
    chats = [chat_of(number, value) for number, value in read_lines(path, conversation_fault, ledger)]
    width = config.sequence_length + 1
    removed = LineLedger("pack")
    fitting = fitting_conversations(encoder, chats, width, path.name, removed)
    kept = [(one.ids, np.arange(len(one.ids)) > 0) for one in fitting]
    too_long = sum(int(line["tokens"]) for line in removed.lines)
    ledger.lines += removed.lines
    plan: list[list[int]] = []
    rounds = 0.0
    turn = 0
    while kept and len(plan) < wanted:
        order = sorted(range(len(kept)), key=lambda number: shuffle_key(config.seed, "round", turn, number))
        packed = best_fit([len(kept[number][0]) for number in order], width)
        rounds += min(1.0, (wanted - len(plan)) / len(packed))
        plan += [[order[number] for number in numbers] for numbers in packed]
        turn += 1
    return ConversationRows(width, encoder.dtype, kept, plan[:wanted], rounds, too_long, encoder.roles.padding)


def spread_evenly(text_rows: int, mixed_rows: int) -> NDArray[np.bool_]:
    """Return which of all rows are mixed-in ones, at even distances; bool [text_rows + mixed_rows]."""
    counts = np.arange(text_rows + mixed_rows + 1, dtype=np.int64) * mixed_rows // max(1, text_rows + mixed_rows)
    return np.diff(counts) > 0


COLUMN = "spelling"
SHORTEST, LONGEST = 3, 6  # bytes of an n-gram, with the marks of beginning and end


def spelling_table(spellings: Iterable[bytes], width: int) -> NDArray[np.float16]:
    """Return the vector of each token, float16 [vocab_size, width], from its bytes."""
    rows = []
    for spelling in spellings:
        row = np.zeros(width, dtype=np.float64)
        if spelling:
            np.add.at(row, [fnv1a(gram) % width for gram in byte_ngrams(b"<" + spelling + b">")], 1.0)
            row /= np.linalg.norm(row)
        rows.append(row)
    return np.array(rows, dtype=np.float16).reshape(len(rows), width)


def byte_ngrams(marked: bytes) -> list[bytes]:
    """Return every run of SHORTEST to LONGEST bytes."""
    return [marked[at : at + size] for size in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - size + 1)]


def fnv1a(value: bytes) -> int:
    """Return the 32-bit FNV-1a hash."""
    found = 2_166_136_261
    for byte in value:
        found = (found ^ byte) * 16_777_619 & 0xFFFFFFFF
    return found


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
    parts: Sequence[Path] = (),
) -> dict[str, float]:
    """Pack each split (name -> its Parquet files, read by id) into `output/<name>`.

    `conversations` is instructions_train.jsonl or its directory; its rows go only into the split called "train". None, or a file without
    conversations, mixes none in. `scratch` is the folder for the tokens of a split; None: the system's temporary folder. `parts`: the files
    with the pictures that texts name.
    Return metrics with the split's name as prefix: rows, tokens, targets, bytes, padding_fraction, documents, those of
    `accounting_metrics`, and unknown (`<|unk|>` among the targets) if the tokenizer has it. Then instruction_rows, instruction_rounds (how
    often the conversations were repeated), removed, quarantined.
    """
    encoder = TextEncoder(tokenizer, (config.grid, parts) if config.grid else None)
    tables = {COLUMN: spelling_table(encoder.spellings, config.spelling)} if config.spelling else {}
    words = {WORDS: word_joins(encoder.tokenizer, encoder.spellings)} if config.words else {}
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
            _write_rows(writer, layouts, which, tables, config.grid.patch_size if config.grid else 0)
            token_counts = [counted for text in texts for counted in count_tokens(name, text)]
            token_counts += [conversation_part.count_tokens(name)] if conversation_part.kept or conversation_part.too_long else []
            names = [*dict.fromkeys(counted.source for counted in token_counts)] if config.by_source else []
            rows_of = [_source_rows(source, layout) for source, layout in zip(names, layouts, strict=False)]
            counts = writer.close(rows_of, {**tables, **words})
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
    """Return what a source has: of documents also their targets and the bytes of their text."""
    stream: Stream | None = getattr(layout, "stream", None)
    if stream is None:
        return SourceRows(source, layout.rows)
    return SourceRows(source, layout.rows, stream.targets, int(stream.bytes.sum()))


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


def _write_rows(writer: TokenShardWriter, layouts: Sequence[RowLayout], which: NDArray[np.int64], tables: Columns, vectors: int) -> None:
    """Write the rows of all layouts in order, a few million values at a time, with the columns that `tables` gives for each token.

    `vectors`: numbers of a token in the columns that the writer adds."""
    done = [0] * len(layouts)
    values_at_once = writer.width * (1 + sum(table.shape[1] for table in tables.values()) + vectors)
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
