"""Baselines of a small corpus: on the model's own targets, for questions by their choices, and honest where nothing is held out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.baselines.config import BaselineConfig
from data.baselines.measure import Baselines, chances, compressed_sizes, measure_baselines, read_lines
from data.shards.reader import ShardReader
from data.tokens.config import PackConfig, TokenizerConfig
from data.tokens.pack import pack
from data.tokens.tokenizer import fit_tokenizer
from tests.data.tokens.corpora import prose, write_lines, write_split

QUESTIONS = [{"question": "A or B?", "answers": ["A"], "choices": ["A", "B"]}, {"question": "Go on:", "answers": ["x y"]}]


def measured(folder: Path, val: list[str], config: BaselineConfig | None = None, *, val_in_train: bool = False) -> Baselines:
    train = [prose(seed, 12) for seed in range(6)]
    splits = {"train": train, "val": val, "test": [prose(90, 6)]}
    paths = {name: write_split(folder / "splits" / f"{name}.parquet", texts) for name, texts in splits.items()}
    if not val_in_train:
        table = pq.read_table(paths["val"])
        named = pa.array([f"v{number}" for number in range(len(val))])
        pq.write_table(table.set_column(table.column_names.index("id"), "id", named), paths["val"])
    fit_tokenizer(paths["train"], folder / "tokenizer", TokenizerConfig(vocab_size=300))
    pack(paths, folder / "tokenizer", None, folder / "packed", PackConfig(sequence_length=32))
    for name in ("seen", "heldout"):
        write_lines(folder / f"questions_{name}.jsonl", QUESTIONS)
    return measure_baselines(folder / "packed", [folder / "splits"], folder, config or BaselineConfig())


def test_longer_contexts_predict_better_and_the_sums_of_rows_are_the_metric(tmp_path: Path) -> None:
    found = measured(tmp_path, [prose(80, 8)])
    metrics, scores = found.metrics, found.rows["ngram.val"]
    split = ShardReader(tmp_path / "packed" / "val").metadata
    assert metrics["ngram.val.bits_per_byte"] < metrics["unigram.val.bits_per_byte"] < 8
    assert len(scores.nats) == split.rows and scores.targets.sum() == split.targets
    assert metrics["ngram.val.bits_per_byte"] == pytest.approx(scores.nats.sum() / math.log(2) / split.bytes)
    assert metrics["chance.questions.heldout"] == 0.25, "one of two names, and a sentence that can't be guessed"
    assert metrics["zstd_after_train.val.bits_per_byte"] < metrics["zstd.val.bits_per_byte"] < 8
    assert metrics["val.documents_in_train"] == 0
    json.dumps(metrics)


def test_documents_that_train_holds_as_well_are_counted(tmp_path: Path) -> None:
    metrics = measured(tmp_path, [prose(0, 12), prose(1, 12)], val_in_train=True).metrics
    assert metrics["val.documents_in_train"] == 2
    assert metrics["ngram.val.bits_per_byte"] < metrics["ngram.test.bits_per_byte"], "it has counted what it predicts"


def test_a_passage_of_a_document_that_train_holds_another_part_of_is_held_out(tmp_path: Path) -> None:
    assert measured(tmp_path, [prose(80, 8)], val_in_train=True).metrics["val.documents_in_train"] == 0


def test_fewer_counted_rows_are_said_and_predict_worse(tmp_path: Path) -> None:
    whole = measured(tmp_path / "whole", [prose(80, 8)]).metrics
    some = measured(tmp_path / "some", [prose(80, 8)], BaselineConfig(most_tokens=320)).metrics
    assert some["ngram.rows_counted"] == 10 < some["train.rows"] == whole["ngram.rows_counted"]
    assert some["ngram.val.bits_per_byte"] > whole["ngram.val.bits_per_byte"]


def test_a_compressor_that_has_read_the_text_needs_next_to_nothing() -> None:
    text = np.random.default_rng(0).integers(97, 123, 20_000, dtype=np.uint8).tobytes()
    sizes = compressed_sizes(text, b"before" + text, 19)
    assert sizes["zstd_after_train"] < 200 < 10_000 < min(sizes["zstd"], sizes["xz"])


def test_whoever_guesses_knows_which_answer_is_common() -> None:
    towns = [{"answers": [town], "choices": ["Oak", "Elm", "Ash"]} for town in ("Oak", "Elm", "Oak")]
    asked = [{"answers": ["Oak"], "choices": ["Oak", "Elm", "Ash"]}, {"answers": ["Elm"], "choices": ["Ash", "Elm", "Oak"]}]
    assert chances(asked, towns).tolist() == [1.0, 0.0]
    assert chances(asked, []).tolist() == [1 / 3, 1 / 3]


def test_an_answer_that_every_seen_question_with_the_same_choices_has_is_guessed_if_there_are_two() -> None:
    seen = [{"question": "A or B?", "answers": ["A"], "choices": ["A", "B"]}] * 2
    asked = [{"question": "Which?", "answers": [answer], "choices": ["B", "A"]} for answer in ("A", "B")]
    assert chances(asked, seen).tolist() == [1.0, 0.0]
    assert chances(asked, seen[:1]).tolist() == [0.5, 0.5], "one alone says nothing of how often it is given"


def test_a_question_may_hold_every_character_that_ends_a_line_somewhere(tmp_path: Path) -> None:
    asked = {"question": "What follows \u2028, \u2029, \x85 and \x0b?", "answers": ["nothing"]}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(asked, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_lines(path) == [asked]
