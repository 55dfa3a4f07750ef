"""What happened to every token, by source: in files and metrics, and checked against the rows written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.shards.reader import ShardReader
from data.tokens.config import PackConfig
from data.tokens.encoder import TextEncoder
from data.tokens.layout import make_layout
from data.tokens.pack import pack
from data.tokens.stream import read_stream
from data.tokens.token_shards import PackError, TokenShardWriter, count_tokens, require_balance
from tests.data.tokens.corpora import conversation, prose, write_lines, write_split
from tests.data.tokens.test_pack import every_row

WIDTH = 33


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Nine texts of two sources, of all lengths; those of the source `short` have no paragraph with a hard sign."""
    tables = []
    for source, texts in {"long": [prose(n, 6) for n in range(4)], "short": [f"number {n} sat." for n in range(5)]}.items():
        tables.append(pq.read_table(write_split(tmp_path / f"{source}.parquet", texts, source)))
    ids = pa.array([f"{number:016x}" for number in range(9)])
    pq.write_table(pa.concat_tables(tables).set_column(0, "id", ids), tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """Three conversations that fit a row and one that is longer."""
    return write_lines(
        tmp_path / "conversations.jsonl", [*(conversation(f"Who sat {n}?", "The cat.") for n in range(3)), conversation("x", prose(1, 9))]
    )


@pytest.mark.parametrize("by_source", [False, True])
@pytest.mark.parametrize("method", ["cut", "best_fit"])
def test_tokens_are_kept_or_left_out_and_positions_are_kept_repeated_or_padding(
    split: Path, conversations: Path, tokenizer: Path, encoder: TextEncoder, tmp_path: Path, method: str, by_source: bool
) -> None:
    config = PackConfig(sequence_length=WIDTH - 1, method=method, by_source=by_source, instruction_fraction=0.3)
    metrics = pack({"train": split}, tokenizer, conversations, tmp_path / "out", config)
    lines = {line["source"]: line for line in pq.read_table(tmp_path / "out" / "accounting" / "tokens.parquet").to_pylist()}
    texts = pq.read_table(split).to_pylist()
    for source in ("long", "short"):
        mine = list(encoder.encode(row["text"] for row in texts if row["source"] == source))
        assert lines[source]["tokens"] == lines[source]["kept"] == sum(len(ids) + 2 for ids in mine)
        assert lines[source]["documents"] == len(mine) and lines[source]["left_out"] == 0
    assert lines["conversations"]["left_out"] > 100 and lines["conversations"]["repeated"] > 0
    rows = every_row(tmp_path / "out" / "train")["tokens"]
    assert sum(line["kept"] + line["repeated"] + line["padding"] for line in lines.values()) == rows.size
    assert sum(line["padding"] for line in lines.values()) == int((rows == 0).sum())
    if method == "best_fit":
        assert lines["short"]["cut_documents"] == lines["short"]["separated"] == 0 < lines["long"]["cut_documents"]
    written = json.loads((tmp_path / "out" / "accounting" / "metrics.json").read_text())
    assert written["train_padding_fraction"] == metrics["train_padding_fraction"] == pytest.approx((rows == 0).mean(), rel=0.1)
    assert written["train_separated_long"] == lines["long"]["separated"]


def test_rows_of_one_source_are_contiguous_and_shards_say_where(
    split: Path, conversations: Path, tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    pack(
        {"train": split},
        tokenizer,
        conversations,
        tmp_path / "out",
        PackConfig(sequence_length=32, by_source=True, instruction_fraction=0.3),
    )
    reader = ShardReader(tmp_path / "out" / "train")
    sources = reader.metadata.sources
    assert [source.name for source in sources] == ["long", "short", "conversations"]
    assert sum(source.rows for source in sources) == len(reader)
    ends = np.cumsum([source.rows for source in sources])
    texts = [encoder.decode(part.reshape(-1)) for part in np.split(every_row(tmp_path / "out" / "train")["tokens"], ends[:-1])]
    assert ["number" in text for text in texts] == [False, True, False]
    assert ["<|user|>" in text for text in texts] == [False, False, True]
    places = {row["source"]: row["last_row"] for row in pq.read_table(tmp_path / "out" / "documents.parquet").to_pylist()}
    assert places["long"] < ends[0] <= places["short"] < ends[1]


def test_a_source_named_conversations_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    split = write_split(tmp_path / "train.parquet", ["one text"], "conversations")
    with pytest.raises(ValueError, match="rename the source"):
        pack({"train": split}, tokenizer, None, tmp_path / "out", PackConfig(by_source=True))


def test_a_missing_token_is_an_error_that_names_both_counts(split: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    layout = make_layout(read_stream(encoder, split, 0, tmp_path), "cut", 32)
    writer = TokenShardWriter(tmp_path / "out", "pretrain", 32, encoder, 64)
    writer.add(layout.build_rows(0, layout.rows - 1)[0])
    writer.close()
    with pytest.raises(PackError, match=rf"{layout.stream.lengths.sum() + layout.rows - 1} tokens, the rows hold"):
        require_balance("train", count_tokens("train", layout), writer)


def test_the_tokens_of_a_split_are_kept_in_a_file_and_not_in_memory(split: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    stream = read_stream(encoder, split, 0, tmp_path)
    assert isinstance(stream.file, np.memmap) and (tmp_path / "split.tokens").stat().st_size == 2 * len(stream)
    assert encoder.decode(stream.take(1, int(stream.starts[1]) - 1)) in pq.read_table(split)["text"].to_pylist()
