"""Aims of preferences against what their losses report, and against their formulas in plain numpy."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.shards.writer import write_shards
from model.aims.config import RankingAim
from model.aims.protocol import AimBase, HeldOut
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.networks.scalar_heads import add_head
from model.objectives.dpo import Dpo
from model.objectives.kto import Kto
from model.objectives.protocol import surveyed
from model.objectives.reference_free import Orpo, Simpo
from model.training.config import DpoConfig, KtoConfig, OrpoConfig, SimpoConfig
from tests.model.objectives.preference_rows import Rows, labelled_rows, pair_rows

CONTEXT, VOCABULARY, PAIRS = 24, 61, 9
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)


@pytest.fixture(scope="module")
def before() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=2).eval()


@pytest.fixture(scope="module")
def after() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=1).eval()


@pytest.fixture(scope="module")
def pairs() -> Rows:
    return pair_rows(PAIRS, CONTEXT + 1, VOCABULARY, seed=3)


@pytest.fixture(scope="module")
def held_out(pairs: Rows, tmp_path_factory: pytest.TempPathFactory) -> HeldOut:
    folder = tmp_path_factory.mktemp("pairs") / "val"
    columns = {name: pairs[name] if name.endswith("loss") else pairs[name].astype(np.uint16) for name in pairs if "other" not in name}
    write_shards(folder, "preference", columns, sequence_length=CONTEXT, tokenizer_digest="d" * 64, vocab_size=VOCABULARY)
    return HeldOut(folder, folder, folder, None, most=100, seed=0)


def gained(aim: AimBase, before: Decoder, after: Decoder, held_out: HeldOut) -> float:
    """By how much the mean over all units rose."""
    old, new = (aim.measure(network, held_out).units for network in (before, after))
    assert (old.unit == new.unit).all() and (old.weight == 1).all()
    return float((new.value - old.value).mean())


def reported(objective: Any, rows: Rows, **models: Decoder) -> Mapping[str, float]:
    """The mean of each term that the objective reports of all rows."""
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(rows).items()}
    with torch.no_grad():
        if names := surveyed(objective):
            batch |= dict(zip(names, objective.survey(models, batch), strict=True))
        sums, units = objective.sums(models, batch), objective.units(rows)
    return {term.name: float(value) / units[term.unit] for term, value in zip(objective.terms, sums, strict=True)}


@pytest.mark.parametrize("loss", ["sigmoid", "hinge"])
def test_the_margin_of_dpo_rises_by_what_its_loss_calls_the_margin(
    loss: Any, before: Decoder, after: Decoder, pairs: Rows, held_out: HeldOut
) -> None:
    told = reported(Dpo(0.3, loss), pairs, policy=after, reference=before)
    assert gained(DpoConfig(beta=0.3, loss=loss).aim(), before, after, held_out) == pytest.approx(told["margin"], abs=1e-4)


def test_the_margin_of_ipo_is_the_gap_by_token_that_its_loss_steers_to_its_target(
    before: Decoder, after: Decoder, pairs: Rows, held_out: HeldOut
) -> None:
    aim = DpoConfig(beta=0.3, loss="ipo").aim()
    gaps = aim.measure(after, held_out).units.value - aim.measure(before, held_out).units.value
    told = reported(Dpo(0.3, "ipo"), pairs, policy=after, reference=before)
    assert float(((gaps - 1 / (2 * 0.3)) ** 2).mean()) == pytest.approx(told["loss"], rel=1e-4)


def test_the_reward_of_kto_rises_by_half_of_what_parts_good_answers_from_bad_ones(
    before: Decoder, after: Decoder, pairs: Rows, held_out: HeldOut
) -> None:
    told = reported(Kto(0.2), labelled_rows(pairs), policy=after, reference=before)
    rise = (told["chosen_reward"] - told["rejected_reward"]) / 2
    assert gained(KtoConfig(beta=0.2).aim(), before, after, held_out) == pytest.approx(rise, abs=1e-4)


def test_the_margins_without_a_reference_are_those_that_their_losses_report(after: Decoder, pairs: Rows, held_out: HeldOut) -> None:
    for config, objective in ((OrpoConfig(), Orpo()), (SimpoConfig(beta=2.5), Simpo(2.5))):
        aimed, told = config.aim().measure(after, held_out), reported(objective, pairs, policy=after)
        assert aimed.units.value.mean() == pytest.approx(told["margin"], abs=1e-4), config.kind
        assert aimed.besides["preferred"] == pytest.approx(told["accuracy"]), config.kind


def test_a_margin_is_that_of_the_formula_pair_by_pair(after: Decoder, pairs: Rows, held_out: HeldOut) -> None:
    units = DpoConfig(beta=0.5).aim().measure(after, held_out).units
    logp = {}
    for side in ("chosen", "rejected"):
        tokens, counted = pairs[side], pairs[f"{side}_loss"]
        with torch.no_grad():
            log_p = after.logits({"tokens": torch.from_numpy(tokens[:, :-1])}).double().log_softmax(-1).numpy()
        taken = np.take_along_axis(log_p, tokens[:, 1:, None], axis=2)[:, :, 0]
        logp[side] = (taken * counted[:, 1:]).sum(axis=1)
    assert units.unit.tolist() == list(range(PAIRS))
    assert units.value == pytest.approx(0.5 * (logp["chosen"] - logp["rejected"]), abs=1e-4)


def test_only_so_many_pairs_are_measured_and_the_seed_decides_which(after: Decoder, held_out: HeldOut) -> None:
    aim, chosen = DpoConfig().aim(), set()
    for seed in range(4):
        some = aim.measure(after, held_out._replace(most=3, seed=seed)).units
        again = aim.measure(after, held_out._replace(most=3, seed=seed)).units
        assert len(some.unit) == 3 and (some.value == again.value).all()
        chosen.add(tuple(some.unit.tolist()))
    assert len(chosen) > 1


def test_a_model_without_a_head_ranks_pairs_as_a_coin_does(before: Decoder, held_out: HeldOut, tmp_path: Path) -> None:
    save_model(before, tmp_path)
    aimed = RankingAim(kind="ranking").measure(RankingAim(kind="ranking").open(tmp_path), held_out)
    assert aimed.units.value == pytest.approx(np.full(PAIRS, log(2))) and aimed.besides == {"accuracy": 0.5}


def test_a_reward_model_is_measured_by_its_scores_of_the_last_tokens(pairs: Rows, held_out: HeldOut) -> None:
    network = Decoder(SHAPE, VOCABULARY, seed=4).eval()
    add_head(network, "reward")
    head = network.get_submodule("heads.reward")
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(5))
    scores = {}
    for side in ("chosen", "rejected"):
        last = CONTEXT - pairs[f"{side}_loss"][:, ::-1].argmax(axis=1)
        with torch.no_grad():
            hidden = network({"tokens": torch.from_numpy(pairs[side])[:, :CONTEXT]})
            scores[side] = np.array([float(head(hidden[row, end])[0]) for row, end in enumerate(last)])
    margins = scores["chosen"] - scores["rejected"]
    aimed = RankingAim(kind="ranking").measure(network, held_out)
    assert aimed.units.value == pytest.approx(np.log1p(np.exp(-margins)), abs=1e-4)
    assert aimed.besides["accuracy"] == pytest.approx((margins > 0).mean())


def test_rows_that_are_missing_empty_or_of_another_vocabulary_are_refused_by_name(after: Decoder, held_out: HeldOut) -> None:
    aim = DpoConfig().aim()
    with pytest.raises(ValueError, match="none were given"):
        aim.measure(after, held_out._replace(rows=None))
    other = Decoder(SHAPE, VOCABULARY + 1, seed=1).eval()
    with pytest.raises(ValueError, match=f"vocabulary of {VOCABULARY}, and the model has {VOCABULARY + 1}"):
        aim.measure(other, held_out)
