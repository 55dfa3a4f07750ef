"""The report's section on training: loss by step for train and validation, speed, and what the model wrote meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tasks.reporting.charts import Curve, Points, curve_chart
from tasks.reporting.hook import Topic
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, number, plural, seconds, share, size

FEW, ENOUGH_TO_SMOOTH = 12, 60
TIMING, SAMPLES = "logs/timing.jsonl", "logs/samples.jsonl"
SAMPLES_SHOWN, LONGEST_SAMPLE = 8, 240
Lines = Sequence[dict[str, Any]]


def learning_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the curves and samples of each training stage, and the speed of the first."""
    results = run.results
    first = next(iter(positions))
    figures = [drawn for position, title in positions.items() for drawn in _curves(results, position, title, position == first)]
    if not figures:
        return None
    figures += _speed(results, first, positions[first])
    lead = (
        "Loss is the mean surprise at a token, in nats: 0 would be a perfect guess every time. Where a stage has many steps, grey is "
        "each of them and blue their running mean."
    )
    samples = tuple(table for position, title in positions.items() if (table := _samples(results, position, title)))
    return Section("learning", "How it learned", lead, tuple(figures), tables=samples)


LEARNING = Topic("training curves", 40, learning_section)


def _summary(results: Results, position: str, title: str) -> str:
    metrics, cost = results.metrics(position), results.artifacts[position].cost
    speed = f" at {count(metrics['tokens_per_second'])} tokens a second" if metrics.get("tokens_per_second") else ""
    ended = f", and ended at a validation loss of {number(metrics['val_loss'])}" if "val_loss" in metrics else ""
    precision = results.artifacts[position].config.get("train", {}).get("precision", {}).get("kind", "")
    products = f", with matrix products in {precision}" if precision else ""
    return f"{title} took {plural(metrics.get('steps', 0), 'step')} and {seconds(cost.wall_seconds)}{speed}{products}{ended}."


def _curves(results: Results, position: str, title: str, first: bool) -> list[Figure]:
    """Draw a stage's losses, for preferences their margins, for sampled replies their rewards, and first of all rate and gradients."""
    lines = results.lines(position, "history.jsonl")
    if not lines:
        return []
    summary = _summary(results, position, title)
    figures = [_chart(f"{title}: loss", "nats", [*_trained(lines, "loss"), *_validated(lines, "val_loss")], summary)]
    pairs = series(lines, "chosen_logp")
    if first and series(lines, "grad_norm"):
        figures.append(_chart(f"{title}: learning rate", "rate", [Curve("rate", series(lines, "learning_rate"), "strong")]))
        # The first gradients are many times longer than the later ones, which would all look like zero on a linear scale.
        norms = [Curve(c.name, [(x, y) for x, y in c.points if y > 0], c.tone, c.dots) for c in _trained(lines, "grad_norm")]
        if all(curve.points for curve in norms):
            figures.append(_chart(f"{title}: norm of the gradient", "log scale", norms, logarithmic=True))
    if pairs:
        # Batches differ in how likely their answers are, which hides the trend that the running mean shows.
        chosen = Curve("chosen", running_mean(pairs), "strong")
        rejected = Curve("rejected", running_mean(series(lines, "rejected_logp")), "other")
        figures.append(_chart(f"{title}: log-probability of answers", "nats", [chosen, rejected], "Running means."))
    for name, caption, unit in (
        ("margin", "margin of chosen over rejected", "nats"),
        ("accuracy", "answers told apart rightly", "share"),
        ("kl", "divergence from the model before", "nats a token"),
    ):
        if series(lines, name):
            figures.append(_chart(f"{title}: {caption}", unit, [*_trained(lines, name), *_validated(lines, f"val_{name}")]))
    if series(lines, "expert_most"):
        use = [Curve("most used", series(lines, "expert_most"), "strong"), Curve("least used", series(lines, "expert_least"), "other")]
        lost = sum(value for _, value in series(lines, "expert_dropped")) / len(lines)
        note = f"Of all layers, the experts that most and fewest tokens chose; 1 is an even share. {share(lost)} of choices found no room."
        figures.append(_chart(f"{title}: use of experts", "even shares", use, note))
    if series(lines, "reward"):
        figures.append(_chart(f"{title}: reward of the replies that it sampled", "mean reward", _trained(lines, "reward")))
    return figures


def _speed(results: Results, position: str, title: str) -> list[Figure]:
    """Draw the speed by step; the note tells utilization, wait for data, and memory. Nothing for a stage that kept no times."""
    kept = any(file.path == TIMING for file in results.artifacts[position].files)
    timed = [line for line in results.lines(position, TIMING) if "data_seconds" in line][1:] if kept else []
    if not timed:
        return []
    total = sum(line["seconds"] for line in timed)
    notes = [f"{share(sum(line['data_seconds'] for line in timed) / total)} of the time was spent waiting for data"]
    if "mfu" in timed[-1]:
        median = sorted(line["mfu"] for line in timed)[len(timed) // 2]
        notes.insert(0, f"MFU {share(median)} at the median step")
    notes.append(f"the first worker used at most {size(max(line['memory_bytes'] for line in timed))} of memory")
    return [_chart(f"{title}: speed", "tokens a second", _trained(timed, "tokens_per_second"), f"{'; '.join(notes)}.")]


def _samples(results: Results, position: str, title: str) -> Table | None:
    """Build a table of how the first prompt was continued through training; None if no samples were taken."""
    artifact = results.artifacts[position]
    fitted = results.artifacts.get("tokenizer")
    if fitted is None or not any(file.path == SAMPLES for file in artifact.files):
        return None
    import numpy as np

    from data.tokens.encoder import TextEncoder

    lines = results.lines(position, SAMPLES)
    last = len(lines) - 1
    chosen = {round(number * last / (SAMPLES_SHOWN - 1)) for number in range(SAMPLES_SHOWN)} if last >= SAMPLES_SHOWN else range(last + 1)
    encoder = TextEncoder(results.folder(fitted))

    def text(ids: list[int]) -> str:
        return encoder.decode(np.array(ids, dtype=np.int64))[:LONGEST_SAMPLE]

    rows = tuple(Row((f"{lines[index]['step']:,}", text(lines[index]["continuations"][0]))) for index in sorted(chosen))
    note = f"Each continues: {text(lines[0]['prompts'][0])}"
    return Table(f"{title}: what the model wrote on the way", ("step", "text"), rows, right=frozenset({0}), note=note, widths=(10, 90))


def _chart(caption: str, unit: str, curves: list[Curve], note: str = "", logarithmic: bool = False) -> Figure:
    def draw(width: float) -> Markup:
        height = 0.5 * width + 40
        return cached(curve_chart, curves, width=width, height=height, x_label="step", y_label=unit, logarithmic=logarithmic)

    return figure(caption, draw, note)


def _trained(lines: Lines, name: str) -> list[Curve]:
    points = series(lines, name)
    if len(points) < ENOUGH_TO_SMOOTH:
        return [Curve("train", points, "strong", dots=len(points) <= FEW)]
    return [Curve("step", points, "quiet"), Curve("mean", running_mean(points), "strong")]


def _validated(lines: Lines, name: str) -> list[Curve]:
    points = series(lines, name)
    return [Curve("validation", points, "other", dots=True)] if points else []


def series(lines: Lines, name: str) -> list[tuple[float, float]]:
    """Return (step, value) of every line that has the value."""
    return [(float(line["step"]), float(line[name])) for line in lines if line.get(name) is not None]


def running_mean(points: Points, share: float = 0.05) -> list[tuple[float, float]]:
    """Return each value as the mean over `share` of the series around it, and over fewer near the ends, which stay as they are."""
    half = max(int(len(points) * share / 2), 1)
    smooth = []
    for index, (x, _) in enumerate(points):
        reach = min(half, index, len(points) - 1 - index)
        near = points[index - reach : index + reach + 1]
        smooth.append((x, sum(y for _, y in near) / len(near)))
    return smooth
