"""Encoding conversations and pairs: what counts in the loss, and what happens to what doesn't fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.shards.reader import ShardReader
from data.tokens.config import EncodeConfig
from data.tokens.encode import encode
from data.tokens.encoder import TextEncoder
from tests.data.tokens.corpora import conversation, prose, write_lines

CONFIG = EncodeConfig(sequence_length=96, seed=1)


def pair(question: str, chosen: str, rejected: str) -> dict[str, object]:
    """A preference pair after one exchange that both share."""
    turns = conversation("Hello", "Yes?", question)["messages"]
    return {"messages": turns, "chosen": chosen, "rejected": rejected}


@pytest.fixture
def out(tokenizer: Path, tmp_path: Path) -> Path:
    """An encoded directory, of which one conversation and one pair were too long, and three lines invalid."""
    source = tmp_path / "c"
    conversations = [conversation(f"Who sat {n}?", f"The cat {n}.", "Sure?", "Yes.") for n in range(9)]
    bad = [{"messages": [{"role": "oracle", "content": "x"}]}, {"messages": conversation("a", "b", "c")["messages"]}]
    write_lines(source / "instructions_train.jsonl", [*conversations, conversation("x", prose(1, 9)), *bad])
    write_lines(source / "instructions_val.jsonl", [])
    pairs = [pair("Who?", "The cat.", "The dog, the dog."), pair("Who?", "A", prose(1, 9)), pair("Who?", "A", "A")]
    write_lines(source / "preferences_train.jsonl", pairs)
    write_lines(source / "preferences_val.jsonl", pairs[:1])
    (tmp_path / "metrics.json").write_text(json.dumps(encode(source, tokenizer, tmp_path / "out", CONFIG)))
    return tmp_path / "out"


def test_the_loss_covers_the_answers_and_their_end_and_nothing_else(out: Path, encoder: TextEncoder) -> None:
    rows = ShardReader(out / "sft" / "train").rows([0, 1])
    for tokens, document, loss in zip(rows["tokens"], rows["document"], rows["loss"], strict=True):
        for ordinal in range(int(document.max())):
            here = document == ordinal
            said = encoder.decode(tokens[here & loss])
            number = encoder.decode(tokens[here]).split("sat ")[1][0]
            assert said == f"The cat {number}.<|end|>Yes.<|end|>"


def test_conversations_share_rows_as_whole_documents(out: Path) -> None:
    reader = ShardReader(out / "sft" / "train")
    rows = reader.rows(range(len(reader)))
    assert len(reader) < 9
    assert int((rows["tokens"] == 1).sum()) == 9
    starts = np.diff(rows["document"], axis=1, prepend=-1) == 1
    assert np.array_equal(starts, (rows["tokens"] == 1) | (starts & (rows["tokens"] == 0)))
    assert not rows["loss"][rows["tokens"] == 0].any()


def test_both_answers_follow_the_same_prompt_and_count_alone(out: Path, encoder: TextEncoder) -> None:
    reader = ShardReader(out / "preference" / "train")
    row = {name: values[0] for name, values in reader.rows([0]).items()}
    assert encoder.decode(row["chosen"][row["chosen_loss"]]) == "The cat.<|end|>"
    assert encoder.decode(row["rejected"][row["rejected_loss"]]) == "The dog, the dog.<|end|>"
    first = int(np.flatnonzero(row["chosen_loss"])[0])
    assert int(np.flatnonzero(row["rejected_loss"])[0]) == first
    assert np.array_equal(row["chosen"][:first], row["rejected"][:first])
    assert reader.metadata.bytes == len("The cat.The dog, the dog.")


def test_labelled_answers_and_both_sides_of_every_pair_count_alone_in_a_row_with_their_label(
    tokenizer: Path, encoder: TextEncoder, tmp_path: Path
) -> None:
    turns = conversation("Hello", "Yes?", "Who?")["messages"]
    for stem, part in (("instructions", "train"), ("instructions", "val"), ("preferences", "val")):
        write_lines(tmp_path / f"{stem}_{part}.jsonl", [])
    write_lines(tmp_path / "preferences_train.jsonl", [pair("Who?", "The cat.", "The dog."), pair("Who?", "A", prose(1, 9))])
    labels = [{"messages": turns, "completion": text, "label": good} for text, good in (("A queen.", True), ("No.", False), ("x", 1))]
    write_lines(tmp_path / "labels_train.jsonl", [*labels, {"messages": turns, "completion": prose(1, 9), "label": True}])
    metrics = encode(tmp_path, tokenizer, tmp_path / "out", CONFIG)
    reader = ShardReader(tmp_path / "out" / "labels" / "train")
    rows = reader.rows(range(len(reader)))
    assert [encoder.decode(tokens[loss]) for tokens, loss in zip(rows["tokens"], rows["loss"], strict=True)] == [
        "A queen.<|end|>", "No.<|end|>", "The cat.<|end|>", "The dog.<|end|>",
    ]  # fmt: skip
    assert rows["desirable"].tolist() == [True, False, True, False]
    assert (metrics["labels_train_desirable"], metrics["labels_train_quarantined"]) == (2, 1)
    # The long pair and the long answer, once each.
    assert metrics["removed"] == 2
    empty = ShardReader(tmp_path / "out" / "labels" / "val").rows([])
    assert (empty["tokens"].shape, empty["desirable"].shape) == ((0, 97), (0,))


def test_long_and_invalid_conversations_are_counted_and_in_the_ledger(out: Path) -> None:
    metrics = json.loads((out.parent / "metrics.json").read_text())
    assert (metrics["removed"], metrics["quarantined"]) == (2, 3)
    assert metrics["sft_train_kept"] == 9
    assert metrics["preference_train_rows"] == 1
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    assert {line["rule"] for line in lines if line["action"] == "quarantined"} == {
        "a message has no role of ['assistant', 'system', 'tool', 'user']",
        "the last message is not the assistant's",
        "chosen and rejected are the same",
    }


def test_an_empty_file_gives_a_shard_directory_without_rows(out: Path) -> None:
    reader = ShardReader(out / "sft" / "val")
    assert len(reader) == 0
    assert reader.rows([])["tokens"].shape == (0, 97)


def test_half_a_surrogate_pair_is_quarantined_and_a_missing_file_is_named(tokenizer: Path, tmp_path: Path) -> None:
    for name in ("instructions_train", "instructions_val", "preferences_train"):
        write_lines(tmp_path / f"{name}.jsonl", [])
    (tmp_path / "instructions_train.jsonl").write_text('not json\n{"messages":[{"role":"user","content":"\\ud800"}]}\n')
    with pytest.raises(FileNotFoundError, match=r"preferences_val\.jsonl"):
        encode(tmp_path, tokenizer, tmp_path / "out", CONFIG)
    write_lines(tmp_path / "preferences_val.jsonl", [])
    assert encode(tmp_path, tokenizer, tmp_path / "out", CONFIG)["quarantined"] == 2
