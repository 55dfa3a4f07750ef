"""Replay beside an objective: each part is what it is alone, over its own units, and padding that stands in counts for nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from data.shards.reader import ShardReader
from model.loading.joined_rows import ReplayedRows
from model.loading.source import POSITION
from model.networks.decoder import Decoder
from model.objectives.dpo import Dpo
from model.objectives.next_token import Sft
from model.objectives.protocol import POLICY, REFERENCE, Objective, mean_loss, term_means
from model.objectives.replayed import Replayed
from tests.model.jobs import SHAPE, VOCABULARY

SFT, DPO = Replayed(Sft(), "answer_loss", 0.5), Replayed(Dpo(beta=0.3), "preference_loss", 2.0)
MODELS = {POLICY: Decoder(SHAPE, VOCABULARY, seed=1).eval(), REFERENCE: Decoder(SHAPE, VOCABULARY, seed=2).eval()}


@pytest.fixture(scope="module")
def rows(shards: Path) -> dict[str, ReplayedRows]:
    replay = ShardReader(shards / "train")
    return {kind: ReplayedRows(ShardReader(shards / kind), replay, 0.25) for kind in ("sft", "preference")}


def sums(objective: Objective, found: dict[str, np.ndarray]) -> torch.Tensor:
    placed = {**found, POSITION: np.arange(len(next(iter(found.values()))))}
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(placed).items()}
    with torch.no_grad():
        return objective.sums(MODELS, batch)


def units(objective: Objective, found: dict[str, np.ndarray]) -> dict[str, float]:
    return objective.units({**found, POSITION: np.arange(len(next(iter(found.values()))))})


@pytest.mark.parametrize(("objective", "kind"), [(SFT, "sft"), (DPO, "preference")])
@settings(max_examples=10, deadline=None)
@given(own=st.integers(0, 3), replayed=st.integers(0, 3))
def test_each_part_is_what_it_is_alone(rows: dict[str, ReplayedRows], objective: Replayed, kind: str, own: int, replayed: int) -> None:
    joined = rows[kind]
    numbers = [*range(own), *range(len(joined.own), len(joined.own) + replayed)]
    if not numbers:
        return
    together, counted = sums(objective, joined.rows(numbers)), units(objective, joined.rows(numbers))
    alone = sums(objective.own, joined.own.rows(range(own))) if own else torch.zeros(len(objective.own.terms))
    torch.testing.assert_close(together[:-1], alone, rtol=1e-5, atol=1e-5)
    rest = joined.replay.rows(range(replayed))
    targets = np.where(rest["loss"][:, 1:], rest["tokens"][:, 1:], -100)
    documents = torch.from_numpy(rest["document"][:, :-1].astype(np.int64))
    expected = 0.0
    if replayed:
        with torch.no_grad():
            logits = MODELS[POLICY].logits({"tokens": torch.from_numpy(rest["tokens"][:, :-1]), "documents": documents})
        expected = float(functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="sum"))
    assert float(together[-1]) == pytest.approx(expected, rel=1e-5)
    assert counted == {**units(objective.own, joined.own.rows(range(own))), "replayed": float((targets != -100).sum())}


def test_the_loss_is_that_of_the_step_and_the_weighted_mean_of_the_replayed_tokens(rows: dict[str, ReplayedRows]) -> None:
    found = rows["sft"].rows([0, 1, len(rows["sft"].own)])
    values, counted = sums(SFT, found), units(SFT, found)
    means = term_means(SFT, values.tolist(), counted)
    assert list(means) == ["loss", "answer_loss", "replay_loss"]
    assert means["loss"] == pytest.approx(means["answer_loss"] + 0.5 * means["replay_loss"])
    assert float(mean_loss(SFT, values, counted)) == pytest.approx(means["loss"], rel=1e-6)


def test_the_first_loss_of_preferences_is_ln_2_with_replay_as_well(rows: dict[str, ReplayedRows]) -> None:
    same = {POLICY: MODELS[POLICY], REFERENCE: MODELS[POLICY]}
    found = rows["preference"].rows([0, 1, 2, len(rows["preference"].own)])
    placed = {**found, POSITION: np.arange(4)}
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in DPO.batch(placed).items()}
    with torch.no_grad():
        means = term_means(DPO, DPO.sums(same, batch).tolist(), DPO.units(placed))
    assert means["preference_loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert means["chosen_logp"] == means["reference_chosen_logp"] and means["rejected_logp"] == means["reference_rejected_logp"]
