"""Masked loss and accuracy of a bidirectional network, against the objective that it is trained with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.shards.reader import ShardReader
from model.evaluation.loss import evaluate_masked
from model.networks.config import EncoderConfig
from model.networks.encoder import Encoder
from model.objectives.masked import Masked
from tests.model.conftest import CONTEXT


@pytest.fixture(scope="module")
def encoder(packed: Path) -> Encoder:
    vocab_size = ShardReader(packed / "val").metadata.vocab_size
    config = EncoderConfig(width=32, layers=2, heads=4, feed_forward=64, context=CONTEXT, initial_std=0.3)
    return Encoder(config, vocab_size, seed=1).eval()


def test_loss_and_accuracy_are_the_objectives_means_over_all_hidden_tokens(encoder: Encoder, packed: Path) -> None:
    reader = ShardReader(packed / "val")
    rows = {**reader.rows(range(len(reader))), "position": np.arange(len(reader))}
    objective = Masked(seed=4)
    batch = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in objective.batch(rows).items()}
    with torch.no_grad():
        nats, right = objective.sums({"policy": encoder}, batch).tolist()
    units = objective.units(rows)["chosen"]
    measured = evaluate_masked(encoder, packed / "val", batch=3, seed=4).metrics
    assert measured["hidden"] == units and measured["rows"] == len(reader)
    assert [measured["masked_loss"], measured["masked_accuracy"]] == pytest.approx([nats / units, right / units], rel=1e-5)
    for name in ("masked_loss", "masked_accuracy"):
        assert measured[f"{name}_low"] <= measured[name] <= measured[f"{name}_high"]


def test_batch_size_changes_nothing_but_rounding_and_a_sample_is_reproducible(encoder: Encoder, packed: Path) -> None:
    one, five = (evaluate_masked(encoder, packed / "val", batch=batch).metrics["masked_loss"] for batch in (1, 5))
    assert one == pytest.approx(five, rel=1e-6)
    first, second = (evaluate_masked(encoder, packed / "train", rows=4, seed=3).metrics for _ in range(2))
    assert first == second and first["rows"] == 4
    assert evaluate_masked(encoder, packed / "train", rows=4, seed=5).metrics["hidden"] != 0


def test_units_name_the_rows_that_they_are_of(encoder: Encoder, packed: Path) -> None:
    of_val, of_train = (evaluate_masked(encoder, packed / split, rows=4).units["masked_accuracy"].rows for split in ("val", "train"))
    assert of_val and of_val != of_train
    assert of_val == evaluate_masked(encoder, packed / "val", rows=2, seed=1).units["masked_loss"].rows


def test_random_weights_find_hidden_tokens_no_better_than_chance(encoder: Encoder, packed: Path) -> None:
    assert evaluate_masked(encoder, packed / "train").metrics["masked_accuracy"] < 0.2
