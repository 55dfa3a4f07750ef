"""How the models learned: loss by step, measured on validation rows beside it; for preferences also how sure the model became."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks.reporting.account import Account
from tasks.reporting.charts import Curve, Points, curve_chart
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Figure, Section, figure
from tasks.reporting.samples import sample_table
from tasks.reporting.wording import count, number, plural, seconds, share, size

STAGES = {"pretrain": "Pretraining", "sft": "Instruction tuning", "dpo": "Preference tuning"}
FEW, ENOUGH_TO_SMOOTH = 12, 60
TIMING = "logs/timing.jsonl"
Lines = Sequence[dict[str, Any]]


def learning_section(account: Account) -> Section | None:
    """Curves of each training stage that the run has."""
    evidence = account.evidence
    places = [place for place in STAGES if place in evidence.artifacts]
    figures = [drawn for place in places for drawn in _figures(place, evidence.lines(place, "history.jsonl"), _sentence(evidence, place))]
    if not figures:
        return None
    figures += [drawn for place in places[:1] for drawn in _machine(place, _timing(evidence, place))]
    lead = "Loss is the mean surprise at a token, in nats, where guessing perfectly would be 0. Long runs show every step in grey."
    samples = tuple(table for place in places if (table := sample_table(evidence, place)))
    return Section("learning", "How it learned", lead, tuple(figures), tables=samples)


def _sentence(evidence: Evidence, place: str) -> str:
    metrics, cost = evidence.metrics(place), evidence.artifacts[place].cost
    speed = f" at {count(metrics['tokens_per_second'])} tokens a second" if metrics.get("tokens_per_second") else ""
    ended = f", ending at a validation loss of {number(metrics['val_loss'])}" if "val_loss" in metrics else ""
    return f"{STAGES[place]} took {plural(metrics.get('steps', 0), 'step')} and {seconds(cost.wall_seconds)}{speed}{ended}."


def _figures(place: str, lines: Lines, told: str) -> list[Figure]:
    if not lines:
        return []
    title = STAGES[place]
    figures = [_chart(f"{title}: loss", "nats", [*_trained(lines, "loss"), *_validated(lines, "val_loss")], told)]
    if place == "pretrain" and series(lines, "grad_norm"):
        figures.append(_chart(f"{title}: learning rate", "rate", [Curve("rate", series(lines, "learning_rate"), "strong")]))
        norms = _trained(lines, "grad_norm")
        # The first steps' gradients are many times longer than all others, which would lie flat on the ground.
        figures.append(
            _chart(f"{title}: norm of the gradient, as a power of ten", "log10", [replace(c, points=_logarithms(c.points)) for c in norms])
        )
    if series(lines, "chosen_logp"):
        # Batches differ in how likely their answers are, so the raw values hide the trend that the running mean shows.
        chosen = Curve("chosen", running_mean(series(lines, "chosen_logp")), "strong")
        rejected = Curve("rejected", running_mean(series(lines, "rejected_logp")), "other")
        figures.append(_chart(f"{title}: log-probability of answers", "nats", [chosen, rejected], "Running means."))
        margins = [*_trained(lines, "margin"), *_validated(lines, "val_margin")]
        figures.append(_chart(f"{title}: margin of chosen over rejected", "nats", margins))
    return figures


def _timing(evidence: Evidence, place: str) -> Lines:
    kept = any(file.path == TIMING for file in evidence.artifacts[place].files)
    return evidence.lines(place, TIMING) if kept else []


def _machine(place: str, lines: Lines) -> list[Figure]:
    """Speed by step, and in words what it was of the peak, what data was waited for, and memory; nothing for logs of older runs."""
    timed = [line for line in lines if "data_seconds" in line][1:]
    if not timed:
        return []
    total = sum(line["seconds"] for line in timed)
    told = [f"{share(sum(line['data_seconds'] for line in timed) / total)} of the time waiting for data"]
    if "mfu" in timed[-1]:
        middle = sorted(line["mfu"] for line in timed)[len(timed) // 2]
        told.insert(0, f"MFU {share(middle)} (the median step)")
    told.append(f"at most {size(max(line['memory_bytes'] for line in timed))} of memory in the first worker")
    return [_chart(f"{STAGES[place]}: speed", "tokens a second", _trained(timed, "tokens_per_second"), f"{'; '.join(told)}.")]


def _logarithms(points: Points) -> list[tuple[float, float]]:
    return [(x, math.log10(y)) for x, y in points if y > 0]


def _chart(caption: str, unit: str, curves: list[Curve], note: str = "") -> Figure:
    return figure(caption, lambda width: curve_chart(curves, width=width, height=0.5 * width + 40, x_label="step", y_label=unit), note)


def _trained(lines: Lines, name: str) -> list[Curve]:
    points = series(lines, name)
    if len(points) < ENOUGH_TO_SMOOTH:
        return [Curve("train", points, "strong", dots=len(points) <= FEW)]
    return [Curve("step", points, "quiet"), Curve("mean", running_mean(points), "strong")]


def _validated(lines: Lines, name: str) -> list[Curve]:
    points = series(lines, name)
    return [Curve("validation", points, "other", dots=True)] if points else []


def series(lines: Lines, name: str) -> list[tuple[float, float]]:
    """(step, value) of every line that has the value."""
    return [(float(line["step"]), float(line[name])) for line in lines if line.get(name) is not None]


def running_mean(points: Points, share: float = 0.05) -> list[tuple[float, float]]:
    """Each value as the mean of those around it, `share` of the series wide; fewer at both ends, so that no end is dragged."""
    half = max(int(len(points) * share / 2), 1)
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        near = points[index - reach : index + reach + 1]
        smooth.append((x, sum(y for _, y in near) / len(near)))
    return smooth
