"""PPO and the reward model against their formulas in plain Python, one token and one pair after the other."""

from __future__ import annotations

from math import exp, log
from typing import Any, get_args

import numpy as np
import pytest
import torch

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.scalar_heads import add_head
from model.objectives.ppo import Ppo
from model.objectives.reward_model import RewardModel, read_scores, scored_batch
from tests.model.objectives.grpo_rows import Rows, rollout_rows
from tests.model.objectives.preference_rows import pair_rows
from tests.model.objectives.test_grpo import log_probabilities

CONTEXT, VOCABULARY = 24, 61
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)


def network(seed: int, *heads: str, shape: DecoderConfig = SHAPE) -> Decoder:
    """A random decoder with random heads."""
    made = Decoder(shape, VOCABULARY, seed=seed).eval()
    for place, head in enumerate(heads):
        add_head(made, head)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(10 * seed + place)
            made.get_parameter(f"heads.{head}.weight").normal_(0, 0.3, generator=generator)
            made.get_parameter(f"heads.{head}.bias").fill_(0.1)
    return made


def head_values(model: Decoder, head: str, tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the head reads after each token, [rows, width]; fp64."""
    with torch.no_grad():
        hidden = model({"tokens": torch.from_numpy(tokens)}).double()
        weight, bias = (model.get_parameter(f"heads.{head}.{name}").double() for name in ("weight", "bias"))
        return np.asarray((hidden @ weight[0] + bias).numpy())


def ppo_rows(policy: Decoder, seed: int) -> Rows:
    """Rollouts as an appraisal leaves them."""
    rows, random = rollout_rows(3, 4, CONTEXT + 1, VOCABULARY, seed), np.random.default_rng(seed)
    near = log_probabilities(policy, rows["tokens"], 0.8) + random.normal(0, 0.3, rows["loss"].shape)
    numbers = {name: random.normal(size=(12, CONTEXT + 1)) for name in ("value", "advantage", "return_")}
    columns: Rows = {"log_probability": near, **numbers}
    found = {name: np.where(rows["loss"], column, 0).astype(np.float32) for name, column in columns.items()}
    return {**rows, **found, "kl": random.random(12).astype(np.float32), "kl_weight": np.full(12, 0.05, np.float32)}


def plain_ppo(policy: Decoder, rows: Rows, objective: Ppo) -> tuple[float, float]:
    """The mean loss of the policy and of the values."""
    new, value = log_probabilities(policy, rows["tokens"], objective.temperature), head_values(policy, "value", rows["tokens"])
    counted = [(row, place) for row, place in np.argwhere(rows["loss"]).tolist()]
    raw = [float(rows["advantage"][at]) for at in counted]
    mean, deviation = float(np.mean(raw)), float(np.std(raw))
    losses, errors = [], []
    for at, advantage in zip(counted, raw, strict=True):
        row, place = at
        ratio, whitened = exp(new[at] - rows["log_probability"][at]), (advantage - mean) / deviation
        clipped = min(max(ratio, 1 - objective.clip_low), 1 + objective.clip_high)
        losses.append(-min(ratio * whitened, clipped * whitened))
        found, before, wanted = value[row, place - 1], float(rows["value"][at]), float(rows["return_"][at])
        near = min(max(found, before - objective.value_clip), before + objective.value_clip)
        errors.append(max((found - wanted) ** 2, (near - wanted) ** 2) / 2)
    return float(np.mean(losses)), float(np.mean(errors))


def ppo_loss(objective: Ppo, models: dict[str, Any], rows: Rows, micro_batch: int) -> tuple[torch.Tensor, dict[str, float]]:
    units, total = objective.units(rows), objective.globals(rows)
    parts = [{name: column[at : at + micro_batch] for name, column in rows.items()} for at in range(0, len(rows["tokens"]), micro_batch)]
    everywhere = {name: torch.tensor(value, dtype=torch.float64) for name, value in total.items()}
    batches = [{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(part).items()} for part in parts]
    sums = sum((objective.sums(models, {**batch, **everywhere}) for batch in batches), torch.zeros(()))
    means = {term.name: value / units[term.unit] for term, value in zip(objective.terms, sums, strict=True)}
    return sum(term.weight * means[term.name] for term in objective.terms), {name: float(value.detach()) for name, value in means.items()}


def test_the_loss_of_ppo_is_that_of_the_paper_in_any_micro_batch() -> None:
    policy, objective = network(1, "value"), Ppo(temperature=0.8, value_weight=0.3)
    rows, found = ppo_rows(policy, seed=5), []
    expected = plain_ppo(policy, rows, objective)
    for micro_batch in (100, 5, 1):
        policy.zero_grad()
        loss, means = ppo_loss(objective, {"policy": policy}, rows, micro_batch)
        torch.autograd.backward(loss)
        assert (means["policy"], means["value_loss"]) == pytest.approx(expected, rel=1e-4)
        assert float(loss.detach()) == pytest.approx(expected[0] + 0.3 * expected[1], rel=1e-4)
        found.append(torch.cat([weight.grad.flatten() for weight in policy.parameters() if weight.grad is not None]))
    for gradient in found[1:]:
        torch.testing.assert_close(gradient, found[0], rtol=1e-3, atol=1e-5)


def test_an_appraisal_reads_values_before_each_token_the_reference_and_the_judge() -> None:
    policy, reference, judge = network(1, "value"), network(2), network(3, "reward")
    rows = rollout_rows(2, 3, CONTEXT + 1, VOCABULARY, seed=6)
    objective = Ppo(temperature=0.8, judged=True)
    with torch.no_grad():
        batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(rows).items()}
        found = objective.cache({"policy": policy, "reference": reference, "reward": judge}, batch).numpy()
    assert found.shape == (6, 1 + 2 * CONTEXT)
    value, reference_logp = head_values(policy, "value", rows["tokens"]), log_probabilities(reference, rows["tokens"], 0.8)
    scores = head_values(judge, "reward", rows["tokens"])
    for row, drawn in enumerate(rows["loss"]):
        places = np.flatnonzero(drawn)
        assert found[row, 0] == pytest.approx(scores[row, places[-1]], rel=1e-4)
        assert found[row, places] == pytest.approx(value[row, places - 1], rel=1e-4, abs=1e-5)
        assert found[row, CONTEXT + places] == pytest.approx(reference_logp[row, places], rel=1e-4)


def test_a_reward_model_s_loss_is_that_of_bradley_and_terry() -> None:
    judge, objective = network(4, "reward"), RewardModel(centre=0.05)
    rows = pair_rows(6, CONTEXT + 1, VOCABULARY, seed=7)
    scores = {}
    for side in ("chosen", "rejected"):
        last = [int(np.flatnonzero(counted)[-1]) for counted in rows[f"{side}_loss"]]
        scores[side] = head_values(judge, "reward", rows[side])[np.arange(6), last]
    gaps = [float(c - r) for c, r in zip(scores["chosen"], scores["rejected"], strict=True)]
    ranking = float(np.mean([-log(1 / (1 + exp(-gap))) for gap in gaps]))
    centring = float(np.mean((scores["chosen"] + scores["rejected"]) ** 2))
    for micro_batch in (6, 2):
        total = torch.zeros(())
        for at in range(0, 6, micro_batch):
            arrays = objective.batch({k: v[at : at + micro_batch] for k, v in rows.items()})
            batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
            total = total + objective.sums({"policy": judge}, batch)
        means = {term.name: float(value.detach()) / 6 for term, value in zip(objective.terms, total, strict=True)}
        assert means["ranking"] == pytest.approx(ranking, rel=1e-5) and means["centring"] == pytest.approx(centring, rel=1e-5)
        assert means["accuracy"] == np.mean([gap > 0 for gap in gaps])
        sure = [max(p, 1 - p) for p in (1 / (1 + exp(-gap)) for gap in gaps)]
        assert means["confidence"] == pytest.approx(float(np.mean(sure)), rel=1e-5)


@pytest.mark.parametrize("positions", get_args(DecoderConfig.model_fields["positions"].annotation))
def test_an_answer_that_fills_its_row_is_scored_at_its_last_token_by_every_kind_of_positions(positions: Any) -> None:
    judge = network(4, "reward", shape=SHAPE.model_copy(update={"positions": positions}))
    tokens = np.random.default_rng(8).integers(1, VOCABULARY, (3, CONTEXT + 1))
    flags = np.zeros(tokens.shape, dtype=np.bool_)
    for row, end in enumerate((CONTEXT + 1, CONTEXT, 9)):  # a full row beside one that just fits and a short one
        flags[row, 4:end] = True
    scores = read_scores(judge, {name: torch.from_numpy(array) for name, array in scored_batch(tokens, flags).items()}).tolist()
    for row, end in enumerate((CONTEXT + 1, CONTEXT, 9)):
        read = tokens[row : row + 1, max(0, end - CONTEXT) if positions == "learned" else 0 : end]
        assert scores[row] == pytest.approx(head_values(judge, "reward", read)[0, -1], rel=1e-4, abs=1e-5)
    other = tokens.copy()
    other[0, -1] = tokens[0, -1] % (VOCABULARY - 1) + 1
    changed = read_scores(judge, {name: torch.from_numpy(array) for name, array in scored_batch(other, flags).items()}).tolist()
    assert changed[0] != scores[0] and changed[1:] == scores[1:]
