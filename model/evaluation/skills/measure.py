"""Ask every test item of every skill, score the replies by rules, and compare them item by item with the stated baseline.

Metrics of each skill: `skills.<skill>`, the share done, with a Wilson interval; `skills.<skill>.baseline`, the baseline's share;
`skills.<skill>.gain`, how much more is done than by the baseline, with a bootstrap interval over the items of both;
`skills.<skill>.heldout`, the share done of the items that take a fact which no example states; `_count`, `_unasked`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from model.evaluation.intervals import Units, bootstrap_ratio, proportion
from model.evaluation.skills.rules import is_done
from model.inference.generation import generate_batch

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoding import DecodingNetwork

FILE = "skills_test.jsonl"


class Attempt(TypedDict):
    """A test item with the reply to it, and whether that and the baseline's reply are right."""

    skill: str
    question: str
    reply: str
    right: bool
    asked: bool
    baseline: str
    baseline_right: bool
    heldout: bool


def read_items(path: Path) -> list[dict[str, Any]]:
    """Return the test items of a JSON lines file; raise ValueError for a file without any, or with a line that is none."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist: skills=true needs test items; list them in examples.skills, or set skills=false")
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    wanted = {"skill", "question", "check", "baseline", "heldout"}
    if strange := next((number for number, item in enumerate(items, 1) if not wanted <= item.keys()), 0):
        raise ValueError(f"{path}, line {strange} lacks {', '.join(sorted(wanted - items[strange - 1].keys()))}, so it is not a test item")
    if not items:
        raise ValueError(f"{path} has no test items")
    return items


def attempt(network: DecodingNetwork, chat_format: ChatFormat, items: list[dict[str, Any]], tokens: int) -> list[Attempt]:
    """Return a greedy reply to each item, at most `tokens` long, with its score. An item that fills the context counts as not done."""
    prompts = [chat_format.encode_chat([{"role": "user", "content": item["question"]}]) for item in items]
    fits = [len(prompt) < network.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(network, fitting, tokens, chat_format.stop_ids))
    attempts: list[Attempt] = []
    for item, fit in zip(items, fits, strict=True):
        reply = chat_format.decode(next(replies)) if fit else ""
        check, baseline = item["check"], item["baseline"]
        attempts.append(
            Attempt(
                skill=item["skill"],
                question=item["question"],
                reply=reply,
                right=fit and is_done(reply, check),
                asked=fit,
                baseline=baseline,
                baseline_right=is_done(baseline, check),
                heldout=item["heldout"],
            )
        )
    return attempts


def score(attempts: list[Attempt], *, resamples: int, confidence: float, seed: int) -> tuple[dict[str, float], dict[str, Units]]:
    """Return the metrics of each skill and their units."""
    metrics: dict[str, float] = {}
    units: dict[str, Units] = {}
    by_skill: dict[str, list[Attempt]] = defaultdict(list)
    for one in attempts:
        by_skill[one["skill"]].append(one)
    for skill, tried in by_skill.items():
        name, ones = f"skills.{skill}", np.ones(len(tried))
        right, guessed = (np.array([float(one[key]) for one in tried]) for key in ("right", "baseline_right"))
        metrics |= proportion(round(right.sum()), len(tried), confidence).metrics(name)
        metrics[f"{name}.baseline"] = float(guessed.mean())
        gain = bootstrap_ratio(right - guessed, ones, seed=seed, resamples=resamples, confidence=confidence)
        metrics |= gain.metrics(f"{name}.gain")
        metrics |= {f"{name}_count": float(len(tried)), f"{name}_unasked": float(sum(not one["asked"] for one in tried))}
        if unknown := [one["right"] for one in tried if one["heldout"]]:
            metrics |= proportion(sum(unknown), len(unknown), confidence).metrics(f"{name}.heldout")
        units[name] = Units(np.arange(len(tried)), right, ones)
    return metrics, units
