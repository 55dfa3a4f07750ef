"""Choosing a vocabulary size, and the report on a tokenizer."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.tokens.config import TokenizerConfig
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.sampling import Sample
from data.tokens.tokenizer import fit_tokenizer
from flows.recipe.shorthands import unused_keys
from tests.data.tokens.corpora import prose, texts_of, write_split

SWEEP = TokenizerConfig(sweep=(270, 320, 640, 960), vocab_size=1280, sweep_gain=0.3)  # the text allows 323


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer directory fitted with a sweep."""
    folder = tmp_path_factory.mktemp("swept")
    fit_tokenizer(write_split(folder / "train.parquet", [prose(seed, 60) for seed in range(12)]), folder / "t", SWEEP)
    return folder


def told(folder: Path) -> dict[str, Any]:
    """The report in a tokenizer directory."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_the_first_size_whose_next_one_gains_too_little_is_chosen(swept: Path) -> None:
    rows = told(swept / "t")["sweep"]
    first, *gains = (row["gain"] for row in rows)
    assert first is None
    assert all(gain >= SWEEP.sweep_gain for gain in gains[:-1])
    assert gains[-1] < SWEEP.sweep_gain
    assert [(row["size"], row["chosen"]) for row in rows] == [(270, False), (320, False), (640, True), (960, False)]
    assert TextEncoder(swept / "t").vocab_size == rows[2]["vocab_size"]
    for before, row in pairwise(rows[:3]):
        doublings = math.log2(row["vocab_size"] / before["vocab_size"])
        assert row["gain"] == pytest.approx((row["bytes_per_token"] / before["bytes_per_token"] - 1) / doublings)


def test_the_last_size_is_chosen_when_every_one_gains_enough(swept: Path, tmp_path: Path) -> None:
    metrics = fit_tokenizer(swept / "train.parquet", tmp_path / "t", TokenizerConfig(sweep=(270, 290), vocab_size=310))
    assert metrics["vocab_size"] == 310


def test_sizes_are_compared_on_training_text_that_none_was_fitted_on(swept: Path) -> None:
    train = swept / "train.parquet"
    sample = Sample.of(train, SWEEP)
    left_out = list(sample.held_out())
    fitted = list(sample.texts())
    assert left_out and not set(left_out) & set(fitted)
    assert sum(map(len, left_out)) + sum(map(len, fitted)) == sum(map(len, texts_of(train)))
    assert pq.read_table(swept / "t" / "sample.parquet").num_rows == len(fitted)
    assert {row["bytes"] for row in told(swept / "t")["sweep"]} == {sum(len(text.encode()) for text in left_out)}


def test_without_a_sweep_everything_is_fitted_on(corpus: Path) -> None:
    sample = Sample.of(corpus, TokenizerConfig())
    assert "".join(sample.texts()) == "".join(texts_of(corpus))
    assert list(sample.held_out()) == []


def test_a_sweep_over_one_short_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"nothing to hold out; leave tokenizer\.sweep empty"):
        fit_tokenizer(write_split(tmp_path / "train.parquet", ["The cat sat."]), tmp_path / "t", SWEEP)


def test_sizes_that_do_not_rise_to_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sweep=\[300, 280\] must ascend and end below vocab_size=350"):
        TokenizerConfig(sweep=(300, 280), vocab_size=350)
    with pytest.raises(ValueError, match="sweep=100 is below the 263 tokens that kind=bpe always has"):
        TokenizerConfig(kind="bpe", sweep=(100,), vocab_size=350)


def test_keys_that_a_kind_or_a_fixed_size_does_not_read_are_refused_by_name() -> None:
    idle = list(unused_keys(TokenizerConfig(kind="word", max_token_length=9, sweep_gain=0.1)))
    assert [line.partition(" ")[0] for line in idle] == ["sweep_gain=0.1", "max_token_length=9"]
    assert not list(unused_keys(TokenizerConfig(kind="unigram", max_token_length=9, sweep=(1024,), sweep_gain=0.1)))


def test_the_report_counts_by_source_what_the_encoder_gives(tmp_path: Path) -> None:
    texts = {"a": ["the cat sat on the river", "the dog"], "b": ["the Ω slept under the 城"]}
    parts = [pq.read_table(write_split(tmp_path / f"{name}.parquet", some, name)) for name, some in texts.items()]
    pq.write_table(pa.concat_tables(parts), tmp_path / "train.parquet")
    metrics = fit_tokenizer(tmp_path / "train.parquet", tmp_path / "t", TokenizerConfig(kind="word", vocab_size=100))
    report, encoder = told(tmp_path / "t"), TextEncoder(tmp_path / "t")
    for name, some in texts.items():
        ids = [one for text in encoder.encode(some) for one in text.tolist()]
        size, unknown = sum(len(text.encode()) for text in some), ids.count(encoder.unknown)
        found = report["sources"][name]
        assert (found["bytes"], found["tokens"], found["unknown"]) == (size, len(ids), unknown)
        assert found["words"] == sum(len(text.split()) for text in some)
        assert found["unknown_bytes"] == size - int(encoder.token_bytes[ids].sum())
        assert metrics[f"fertility_{name}"] == len(ids) / found["words"]
    assert report["whole"]["tokens"] == sum(found["tokens"] for found in report["sources"].values())
    assert report["used_share"] == 1.0
    assert report["longest"][0]["bytes"] == max(encoder.token_bytes)


def test_the_samples_of_the_report_are_the_texts_cut_at_their_tokens(corpus: Path, tokenizer: Path, encoder: TextEncoder) -> None:
    beginnings = {text[:900] for text in texts_of(corpus)}
    samples = told(tokenizer)["samples"]
    assert len(samples) == 3
    for sample in samples:
        text = "".join(piece for _, piece in sample["tokens"])
        assert text in beginnings
        (ids,) = encoder.encode([text])
        assert [index for index, _ in sample["tokens"]] == ids.tolist()
