"""Rows of pairs, and the losses of preferences by the letter of their papers, in numpy, one pair after the other."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np

Rows = dict[str, np.ndarray[Any, Any]]


def pair_rows(pairs: int, width: int, vocabulary: int, seed: int) -> Rows:
    """Pairs of answers of unequal length after prompts of unequal length, each with the answers to another question."""
    random, places, rows = np.random.default_rng(seed), np.arange(width), Rows()
    starts, prompts = random.integers(2, 6, (pairs, 1)), random.integers(1, vocabulary, (pairs, width))
    for side in ("chosen", "rejected"):
        lengths = random.integers(1, width - 6, (pairs, 1))
        counted = (places >= starts) & (places < starts + lengths)
        rows[side] = np.where(counted, random.integers(1, vocabulary, (pairs, width)), np.where(places < starts, prompts, 0))
        rows[f"{side}_loss"] = counted
    return {**rows, **{f"other_{name}": np.roll(column, 1, axis=0) for name, column in rows.items()}}


def labelled_rows(pairs: Rows) -> Rows:
    """Both answers of each pair as labelled answers, all chosen ones first."""
    sides = ("chosen", "rejected")
    joined = {
        f"{prefix}{name}": np.concatenate([pairs[f"{prefix}{side}{suffix}"] for side in sides])
        for prefix in ("", "other_")
        for name, suffix in (("tokens", ""), ("loss", "_loss"))
    }
    return {**joined, "desirable": np.repeat([True, False], len(pairs["chosen"]))}


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def dpo(ratios: tuple[float, float], lengths: tuple[int, int], *, beta: float, loss: str, label_smoothing: float = 0.0) -> float:
    """`ratios`: log p - log r of the chosen and the rejected answer."""
    margin = beta * (ratios[0] - ratios[1])
    if loss == "hinge":
        return max(0.0, 1 - margin)
    if loss == "ipo":
        return (ratios[0] / lengths[0] - ratios[1] / lengths[1] - 1 / (2 * beta)) ** 2
    return -(1 - label_smoothing) * log(sigmoid(margin)) - label_smoothing * log(sigmoid(-margin))


def kto(ratios: tuple[float, float], z: float, *, beta: float, weights: tuple[float, float]) -> float:
    """The sum of both answers' losses."""
    return weights[0] * (1 - sigmoid(beta * (ratios[0] - z))) + weights[1] * (1 - sigmoid(beta * (z - ratios[1])))


def odds_loss(means: tuple[float, float]) -> float:
    """`means`: log-probability by token of the chosen and the rejected answer."""
    chosen, rejected = (exp(mean) / (1 - exp(mean)) for mean in means)
    return -log(sigmoid(log(chosen / rejected)))


def simpo(means: tuple[float, float], *, beta: float, gap: float, label_smoothing: float = 0.0) -> float:
    x = beta * (means[0] - means[1]) - gap
    return -(1 - label_smoothing) * log(sigmoid(x)) - label_smoothing * log(sigmoid(-x))
