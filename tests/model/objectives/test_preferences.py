"""Losses of preferences against their papers' formulas in plain Python, and what they promise of micro-batches and cached references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.objectives.dpo import Dpo
from model.objectives.kto import Kto
from model.objectives.protocol import surveyed
from model.objectives.reference_free import Orpo, Simpo
from tests.model.objectives import preference_rows as plain
from tests.model.objectives.preference_rows import Rows, labelled_rows, pair_rows

CONTEXT, VOCABULARY, PAIRS = 24, 61, 6
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)
AnyObjective = Dpo | Kto | Orpo | Simpo
OBJECTIVES = [
    pytest.param(Dpo(0.3), id="dpo"),
    pytest.param(Dpo(0.3, label_smoothing=0.2), id="dpo-smoothed"),
    pytest.param(Dpo(0.05, "hinge"), id="hinge"),
    pytest.param(Dpo(0.3, "ipo"), id="ipo"),
    pytest.param(Kto(0.2, 1.5, 0.7), id="kto"),
    pytest.param(Orpo(0.3), id="orpo"),
    pytest.param(Orpo(0.3, prompts=True), id="orpo-prompts"),
    pytest.param(Simpo(2.0, 0.7), id="simpo"),
    pytest.param(Simpo(2.0, 0.7, 0.1), id="simpo-smoothed"),
]
COMPARING = [Dpo(0.3), Dpo(0.3, "ipo"), Kto(0.2, 1.5, 0.7)]


@pytest.fixture(scope="module")
def models() -> dict[str, Decoder]:
    policy, reference = (Decoder(SHAPE, VOCABULARY, seed=seed).eval() for seed in (1, 2))
    return {"policy": policy, "reference": reference}


def batches(objective: AnyObjective, models: dict[str, Any], rows: Rows, micro_batch: int) -> list[dict[str, Tensor]]:
    """The micro-batches as the trainer makes them, with the statistics of all of them where the objective wants some."""
    count = len(next(iter(rows.values())))
    parts = [{name: column[at : at + micro_batch] for name, column in rows.items()} for at in range(0, count, micro_batch)]
    made = [{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(part).items()} for part in parts]
    if not isinstance(objective, Kto):
        return made
    with torch.no_grad():
        found = torch.stack([objective.survey(models, batch) for batch in made]).sum(dim=0)
    return [{**batch, **dict(zip(surveyed(objective), found, strict=True))} for batch in made]


def loss_of(objective: AnyObjective, models: dict[str, Any], rows: Rows, micro_batch: int = 100) -> tuple[Tensor, dict[str, float]]:
    """The loss and each term's mean, from micro-batches, as the trainer computes them."""
    rows = labelled_rows(rows) if isinstance(objective, Kto) and "chosen" in rows else rows
    units = objective.units(rows)
    sums = sum((objective.sums(models, batch) for batch in batches(objective, models, rows, micro_batch)), torch.zeros(()))
    means = {term.name: value / units[term.unit] for term, value in zip(objective.terms, sums, strict=True)}
    loss = sum(term.weight * means[term.name] for term in objective.terms)
    return loss, {name: float(mean.detach()) for name, mean in means.items()}


def token_log_probabilities(network: Decoder, tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of each token after those before it, over the vocabulary, [rows, width, V]; fp64."""
    with torch.no_grad():
        log_p = network.logits({"tokens": torch.from_numpy(tokens[:, :-1])}).double().log_softmax(-1).numpy()
    return np.concatenate((np.zeros((len(tokens), 1, VOCABULARY)), log_p), axis=1)


def log_probability(network: Decoder, tokens: np.ndarray[Any, Any], counted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    taken = np.take_along_axis(token_log_probabilities(network, tokens), tokens[:, :, None], axis=2)[:, :, 0]
    return np.asarray((taken * counted).sum(axis=1))


def expected(objective: AnyObjective, models: dict[str, Decoder], rows: Rows) -> float:
    """The mean loss, from log-probabilities in fp64, by the papers' formulas."""
    sides = ("chosen", "rejected")
    logp = {side: log_probability(models["policy"], rows[side], rows[f"{side}_loss"]) for side in sides}
    ratio = {side: logp[side] - log_probability(models["reference"], rows[side], rows[f"{side}_loss"]) for side in sides}
    length = {side: rows[f"{side}_loss"].sum(axis=1) for side in sides}
    pairs = range(len(rows["chosen"]))
    ratios = [(ratio["chosen"][n], ratio["rejected"][n]) for n in pairs]
    means = [(logp["chosen"][n] / length["chosen"][n], logp["rejected"][n] / length["rejected"][n]) for n in pairs]
    if isinstance(objective, Dpo):
        lengths = [(length["chosen"][n], length["rejected"][n]) for n in pairs]
        beta, loss, smoothing = objective.beta, objective.loss, objective.label_smoothing
        return float(np.mean([plain.dpo(ratios[n], lengths[n], beta=beta, loss=loss, label_smoothing=smoothing) for n in pairs]))
    if isinstance(objective, Kto):
        z = max(0.0, float(np.mean(mismatched_ratios(models, rows))))
        weights = (objective.desirable_weight, objective.undesirable_weight)
        return sum(plain.kto(ratios[n], z, beta=objective.beta, weights=weights) for n in pairs) / (2 * len(ratios))
    if isinstance(objective, Orpo):
        counted = rows["chosen_loss"]
        if objective.prompts:
            counted = np.arange(CONTEXT + 1) < CONTEXT + 1 - counted[:, ::-1].argmax(axis=1)[:, None]
            counted[:, 0] = False
        answers = -log_probability(models["policy"], rows["chosen"], counted).sum() / counted.sum()
        return float(answers + objective.beta * np.mean([plain.odds_loss(means[n]) for n in pairs]))
    beta, gap, smoothing = objective.beta, objective.gap, objective.label_smoothing
    return float(np.mean([plain.simpo(means[n], beta=beta, gap=gap, label_smoothing=smoothing) for n in pairs]))


def mismatched_ratios(models: dict[str, Decoder], rows: Rows) -> list[float]:
    """log p - log r of each prompt's answer to another question, cut off where the row ends."""
    found = []
    for side in ("chosen", "rejected"):
        for row, counted in enumerate(rows[f"{side}_loss"]):
            prompt = rows[side][row][: counted.argmax()]
            answer = rows[f"other_{side}"][row][rows[f"other_{side}_loss"][row]]
            whole = np.concatenate((prompt, answer))[None, : CONTEXT + 1]
            flags = (np.arange(whole.shape[1]) >= len(prompt))[None]
            found.append(float((log_probability(models["policy"], whole, flags) - log_probability(models["reference"], whole, flags))[0]))
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_is_that_of_the_paper(models: dict[str, Decoder], objective: AnyObjective) -> None:
    rows = pair_rows(PAIRS, CONTEXT + 1, VOCABULARY, seed=3)
    with torch.no_grad():
        found, means = loss_of(objective, models, rows)
    assert float(found) == pytest.approx(expected(objective, models, rows), rel=2e-5)
    for side in ("chosen", "rejected"):
        logp = log_probability(models["policy"], rows[side], rows[f"{side}_loss"])
        assert means[f"{side}_logp"] == pytest.approx(logp.mean(), rel=1e-5)
        assert means[f"{side}_tokens"] == pytest.approx(rows[f"{side}_loss"].sum() / PAIRS)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_micro_batches_do_not_change_loss_or_gradient(models: dict[str, Decoder], objective: AnyObjective) -> None:
    rows, policy, found = pair_rows(PAIRS, CONTEXT + 1, VOCABULARY, seed=4), models["policy"], []
    for micro_batch in (100, 4, 1):
        policy.zero_grad()
        loss, _ = loss_of(objective, models, rows, micro_batch)
        torch.autograd.backward(loss)
        gradients = [weight.grad.flatten() for weight in policy.parameters() if weight.grad is not None]
        found.append((float(loss.detach()), torch.cat(gradients)))
    for value, gradient in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=2e-6 * float(gradient.abs().max().clamp(min=1)))


@pytest.mark.parametrize("objective", COMPARING)
def test_a_cached_reference_gives_the_same_loss_without_the_model(models: dict[str, Decoder], objective: Dpo | Kto) -> None:
    from dataclasses import replace

    rows, cached = pair_rows(PAIRS, CONTEXT + 1, VOCABULARY, seed=5), replace(objective, cached=True)
    rows = labelled_rows(rows) if isinstance(objective, Kto) else rows
    asked = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in cached.batch(rows).items()}
    with torch.no_grad():
        columns = cached.cache({"policy": models["reference"]}, asked).numpy()
        whole, _ = loss_of(objective, models, rows)
        known = {**rows, **{name: columns[:, number] for number, name in enumerate(cached.cacheable)}}
        alone, _ = loss_of(cached, {"policy": models["policy"]}, known)
    assert cached.models == () and float(alone) == pytest.approx(float(whole), rel=1e-6)


@pytest.mark.parametrize("objective", [Dpo(), Kto()])
def test_kl_is_that_of_the_next_tokens_of_both_models(models: dict[str, Decoder], objective: Dpo | Kto) -> None:
    rows = pair_rows(PAIRS, CONTEXT + 1, VOCABULARY, seed=6)
    total, tokens = 0.0, 0
    for side in ("chosen", "rejected"):
        own, other = (token_log_probabilities(models[name], rows[side]) for name in ("policy", "reference"))
        total += float(((np.exp(own) * (own - other)).sum(axis=2) * rows[f"{side}_loss"]).sum())
        tokens += int(rows[f"{side}_loss"].sum())
    with torch.no_grad():
        _, means = loss_of(objective, models, rows, 2)
    assert means["kl"] == pytest.approx(total / tokens, rel=1e-5)


def test_an_answer_of_certain_tokens_has_odds_that_can_be_learned_from(models: dict[str, Decoder]) -> None:
    from model.objectives.reference_free import _log1mexp

    x = torch.tensor([0.0, -1e-30, -1e-4, -0.69, -0.7, -30.0, -200.0], requires_grad=True)
    found = _log1mexp(x)
    torch.autograd.backward(found.sum())
    assert found.isfinite().all() and x.grad is not None and x.grad[2:].isfinite().all()
    assert found[2:6].tolist() == pytest.approx(np.log(-np.expm1([-1e-4, -0.69, -0.7, -30.0])).tolist(), rel=1e-5)
