"""Packing: counts that add up, the mixture, and how the model's reader sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.shards.reader import ShardReader
from data.tokens.config import PackConfig
from data.tokens.encoder import TextEncoder
from data.tokens.pack import pack
from tests.data.tokens.corpora import conversation, prose, texts_of, write_lines, write_split

CONFIG = PackConfig(sequence_length=32, instruction_fraction=0.25, seed=3, shard_rows=7)


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, Path]:
    """Three splits; the training one has two sources."""
    texts = {"train": 8, "val": 2, "test": 2}
    return {
        name: write_split(tmp_path / f"{name}.parquet", [prose(7 * count + n, 5) for n in range(count)]) for name, count in texts.items()
    }


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """A directory with instructions_train.jsonl: three conversations that fit, one too long, one invalid."""
    short = [conversation(f"Who sat {n}?", "The cat.") for n in range(3)]
    write_lines(tmp_path / "c" / "instructions_train.jsonl", [*short, conversation("x", prose(1, 9)), {"messages": []}])
    return tmp_path / "c"


def every_row(directory: Path) -> dict[str, np.ndarray]:
    """All rows of a shard directory, checked against their digests."""
    reader = ShardReader(directory)
    reader.verify()
    return reader.rows(range(len(reader)))


def test_bytes_and_tokens_of_a_split_are_those_of_its_texts(
    splits: dict[str, Path], tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    metrics = pack(splits, tokenizer, None, tmp_path / "out", CONFIG)
    for name, path in splits.items():
        texts = texts_of(path)
        data = ShardReader(tmp_path / "out" / name).metadata
        tokens = sum(len(ids) + 2 for ids in encoder.encode(texts))
        assert data.bytes == metrics[f"{name}_bytes"] == sum(len(text.encode()) for text in texts)
        assert data.tokens == metrics[f"{name}_tokens"] == metrics[f"{name}_tokens_made"] == tokens
        assert data.targets == tokens - len(texts)
        assert data.rows == metrics[f"{name}_rows"] == -(-(tokens - 1) // 32)
        assert int(every_row(tmp_path / "out" / name)["loss"].sum()) == data.targets


def test_the_documents_read_back_from_the_rows_are_the_texts(
    splits: dict[str, Path], tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    pack(splits, tokenizer, None, tmp_path / "out", CONFIG)
    rows = every_row(tmp_path / "out" / "train")["tokens"]
    stream = np.concatenate([rows[0, :1], rows[:, 1:].reshape(-1)])
    texts = [encoder.decode(part[1:-1]) for part in np.split(stream, np.flatnonzero(stream == 1))[1:-1]]
    wanted = set(texts_of(splits["train"]))
    assert len(texts) == len(wanted) - 1
    assert set(texts) < wanted


def test_conversations_make_up_their_fraction_of_training_rows_only(
    splits: dict[str, Path], conversations: Path, tokenizer: Path, tmp_path: Path
) -> None:
    metrics = pack(splits, tokenizer, conversations, tmp_path / "out", CONFIG)
    train = every_row(tmp_path / "out" / "train")
    with_user = (train["tokens"] == 4).any(axis=1)
    assert with_user.sum() == metrics["instruction_rows"]
    assert abs(with_user.mean() - 0.25) < 0.5 / len(with_user) + 1e-9
    assert metrics["instruction_rounds"] > 1
    assert not (every_row(tmp_path / "out" / "val")["tokens"] == 4).any()
    # The whole conversation counts, except its first token.
    kept = train["tokens"][with_user]
    assert np.array_equal(train["loss"][with_user], (kept != 0) & (kept != 1))


def test_what_was_left_out_is_in_the_ledger(splits: dict[str, Path], conversations: Path, tokenizer: Path, tmp_path: Path) -> None:
    metrics = pack(splits, tokenizer, conversations, tmp_path / "out", CONFIG)
    lines = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert [(line["line"], line["action"]) for line in lines] == [(5, "quarantined"), (4, "removed")]
    assert (metrics["removed"], metrics["quarantined"]) == (1, 1)


def test_each_document_is_found_in_the_rows_that_its_account_names(
    splits: dict[str, Path], conversations: Path, tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    pack(splits, tokenizer, conversations, tmp_path / "out", CONFIG)
    texts = {row["id"]: row["text"] for row in pq.read_table(splits["train"]).to_pylist()}
    rows = every_row(tmp_path / "out" / "train")["tokens"]
    accounts = [r for r in pq.read_table(tmp_path / "out" / "documents.parquet").to_pylist() if r["split"] == "train"]
    assert {account["id"] for account in accounts} == set(texts)
    for account in accounts:
        part = rows[account["first_row"] : account["last_row"] + 1]
        part = part[~(part == 4).any(axis=1)]
        (ids,) = encoder.encode([texts[account["id"]]])
        joined = np.concatenate([part[0], part[1:, 1:].reshape(-1)]).tolist()
        wanted = [1, *ids.tolist(), 2]
        assert any(joined[n : n + len(wanted)] == wanted for n in range(len(joined)))
        assert account["tokens"] == len(wanted)
        assert account["bytes"] == len(texts[account["id"]].encode())


def test_the_same_inputs_give_the_same_files(splits: dict[str, Path], conversations: Path, tokenizer: Path, tmp_path: Path) -> None:
    pack(splits, tokenizer, conversations, tmp_path / "one", CONFIG)
    pack(splits, tokenizer, conversations, tmp_path / "two", CONFIG)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) > 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_changed_text_leaves_the_order_of_the_others(
    splits: dict[str, Path], tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    texts = [f"number {n} sat." for n in range(6)]

    def order(texts: list[str], name: str) -> list[str]:
        pack({"val": write_split(tmp_path / f"{name}.parquet", texts)}, tokenizer, None, tmp_path / name, CONFIG)
        rows = every_row(tmp_path / name / "val")["tokens"]
        text = encoder.decode(np.concatenate([rows[0], rows[1:, 1:].reshape(-1)]))
        return [part.split("<|eos|>")[0] for part in text.split("<|bos|>")[1:]]

    before, after = order(texts, "before"), order([*texts[:2], "something else", *texts[3:]], "after")
    assert sorted(before) == sorted(texts) != before
    assert [text for text in after if text != "something else"] == [text for text in before if text != texts[2]]


def test_four_sentences_share_one_row_as_four_documents(tokenizer: Path, tmp_path: Path) -> None:
    texts = ["The cat sat.", "The dog slept.", "The cat slept.", "The dog sat."]
    split = write_split(tmp_path / "train.parquet", texts)
    pack({"train": split}, tokenizer, None, tmp_path / "out", PackConfig(sequence_length=128))
    rows = every_row(tmp_path / "out" / "train")
    assert len(rows["tokens"]) == 1
    assert np.unique(rows["document"]).tolist() == [0, 1, 2, 3, 4]


def test_an_empty_validation_split_gives_no_rows_and_an_empty_training_split_an_error(tokenizer: Path, tmp_path: Path) -> None:
    empty = write_split(tmp_path / "empty.parquet", [""])
    pack({"val": empty}, tokenizer, None, tmp_path / "out", CONFIG)
    assert ShardReader(tmp_path / "out" / "val").metadata.bytes == 0
    with pytest.raises(ValueError, match="no text to train on"):
        pack({"train": empty}, tokenizer, None, tmp_path / "out", CONFIG)


@pytest.mark.parametrize(("tokens", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_tokens_take_four_bytes_if_two_are_too_few(
    tokenizer: Path, tmp_path: Path, tokens: int, dtype: Literal["uint16", "uint32"]
) -> None:
    fitted = json.loads((tokenizer / "tokenizer.json").read_text())
    vocabulary = fitted["model"]["vocab"]
    vocabulary |= {f"never seen {number}": number for number in range(len(vocabulary), tokens)}
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "tokenizer.json").write_text(json.dumps(fitted))
    split = write_split(tmp_path / "train.parquet", [prose(1, 3)])
    pack({"train": split}, tmp_path / "large", None, tmp_path / "out", CONFIG)
    reader = ShardReader(tmp_path / "out" / "train")
    assert reader.metadata.vocab_size == tokens
    assert reader.metadata.dtype == reader.view("tokens", 0).dtype == dtype
    assert not reader.view("tokens", 0).flags.owndata
    reader.verify()


@pytest.mark.parametrize("method", ["cut", "best_fit"])
def test_documents_of_a_row_do_not_see_each_other_however_they_are_packed(
    tokenizer: Path, tmp_path: Path, method: Literal["cut", "best_fit"]
) -> None:
    config = PackConfig(sequence_length=64, method=method, shard_rows=7)
    short = write_split(tmp_path / "short.parquet", [f"number {n} sat {'under the river ' * (n % 5)}." for n in range(40)])
    pack({"val": short}, tokenizer, None, tmp_path / "out", config)
    rows = every_row(tmp_path / "out" / "val")
    for tokens, document, loss in zip(rows["tokens"], rows["document"], rows["loss"], strict=True):
        starts = np.flatnonzero(np.diff(document, prepend=-1))
        assert all(tokens[start] in (0, 1) for start in starts[1:])
        assert (tokens[1:] == 1).sum() + (tokens[-1] == 0) == len(starts) - 1
        assert not loss[starts].any()
