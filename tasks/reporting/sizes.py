"""Sections on sizes: of the model and its quantized variants, what the smaller ones cost, and where an opened model came from.

Compare quantized forms with the model: size, quality, speed and memory in the tool each is made for, and which were released.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from model.evaluation.metrics import COST
from tasks.reporting.charts import LETTER, Bar, tick_labels, ticks
from tasks.reporting.hook import Topic
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, bars_figure, figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.svg import COLOURS, chart, rendered
from tasks.reporting.wording import count, model_form, number, share, size, words


@dataclass(frozen=True)
class Point:
    """A named point; `tone` is strong, other or quiet."""

    name: str
    x: float
    y: float
    tone: str = "strong"


def scatter_chart(points: Sequence[Point], *, width: float, height: float, x_label: str, y_label: str, least: float) -> Markup:
    """Draw points with their names. x runs from 0; y is logarithmic, and values below `least` are drawn there."""
    most = max(point.x for point in points)
    heights = [max(point.y, least) for point in points]
    low, high = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)) + 0.2)
    decades = [10.0**power for power in range(low, high + 1)]
    labels = [f"{decade:g}" for decade in decades]
    left, right, top, bottom = LETTER * max(map(len, labels)) + 12, 14.0, 30.0, 40.0
    with chart(width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height))
        axes.set(yscale="log", xlim=(0, most * 1.25), ylim=(decades[0], decades[-1]))
        places = [tick for tick in ticks(0, most * 1.25, 5) if tick <= most * 1.25]
        axes.set_xticks(places, tick_labels(places))
        axes.set_yticks(decades, labels)
        axes.set_yticks([], minor=True)
        axes.grid(axis="y")
        in_order = sorted(zip(points, heights, strict=True), key=lambda pair: (pair[0].x, pair[0].y))
        for number, (point, y) in enumerate(in_order):
            axes.plot([point.x], [y], marker="o", markersize=7, linestyle="", color=COLOURS[point.tone], gid=f"curve {point.tone}")
            above = 7 if number % 2 else -15  # labels alternate above and below their points
            axes.annotate(point.name, (point.x, y), textcoords="offset points", xytext=(5, above), size=12, color=COLOURS["soft"])
        figure.text(0, 1 - 14 / height, y_label, size=12, color=COLOURS["soft"])
        figure.text(1 - right / width, 4 / height, x_label, size=12, color=COLOURS["soft"], ha="right")
        said = [f"{point.name}: {x_label} {point.x:.4g}; {y_label} {point.y:.4g}" for point, _ in in_order]
        return rendered(figure, f"{y_label} over {x_label}: {', '.join(point.name for point in points)}", {"curve": said})


def sizes_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the size of the weights in each precision, and every file of the release."""
    results = run.results
    exported = results.artifacts.get("export")
    figures, tables = [], []
    quantized = {name: metrics for name in results.variants() if "bytes_before" in (metrics := results.metrics(f"quantize.{name}"))}
    if quantized:
        before = next(iter(quantized.values()))["bytes_before"]
        sizes = {model_form(name): metrics["bytes_after"] for name, metrics in quantized.items()}
        bars = [Bar("full precision", before, size(before))]
        bars += [Bar(name, after, size(after), share(after / before), "other") for name, after in sizes.items()]
        figures.append(bars_figure("Weights on disk", bars))
    if exported is not None:
        files = sorted(exported.files, key=lambda file: (-file.size, file.path))
        rows = tuple(Row((file.path, size(file.size))) for file in files)
        caption = f"The release, {size(sum(file.size for file in files))}"
        tables.append(Table(caption, ("file", "size"), rows, frozenset({1}), frozenset({0}), half=True))
    if not figures and not tables:
        return None
    return Section("sizes", "Sizes", _lead(results), tuple(figures), tables=tuple(tables))


SIZES = Topic("sizes", 110, sizes_section)


def _lead(results: Results) -> str:
    sentences = []
    parameters = parameters_of(results)
    shape = results.artifacts["pretrain"].config.get("model", {}) if "pretrain" in results.artifacts else {}
    if parameters:
        form = f": {shape['layers']} layers of width {shape['width']}, {shape['context']} tokens of context" if "layers" in shape else ""
        sentences.append(f"The model has {count(parameters)} parameters{form}.")
    for name in results.variants():
        cost = variant_cost(results, name)
        if cost is not None:
            sentences.append(f"{model_form(name)} changes its {cost.measure} on {cost.split} by {signed(cost.change)}.")
        worst = results.metrics(f"quantize.{name}").get("error_max")
        if worst is not None:
            sentences.append(f"No weight moved by more than {number(worst)}.")
    return " ".join(sentences)


def parameters_of(results: Results) -> float | None:
    """Return the parameters of the released model, by the last stage that counted them."""
    counted = (results.metrics(position).get("parameters") for position in ("export", *results.positions("quantize")))
    return next((parameters for parameters in counted if parameters is not None), None)


class VariantCost(NamedTuple):
    """A variant's loss of quality: the split, the metric compared on it, and the metric's relative change."""

    split: str
    measure: str
    change: float


def variant_cost(results: Results, form: str) -> VariantCost | None:
    """Return a variant's loss of quality against full precision, on the least seen split and the first metric both have."""
    full, small = results.metrics("evaluate.release"), results.metrics(f"evaluate.{form}")
    for split in ("test", "val", "train"):
        for metric in COST:
            name = metric.of(split)
            if full.get(name) and name in small:
                return VariantCost(split, words(metric.family), small[name] / full[name] - 1)
    return None


def signed(change: float) -> str:
    """Return a relative change as text: `0.0012` -> `+0.12 %`, without a sign if it rounds to zero."""
    percent = f"{abs(change) * 100:.2f}"
    return f"{'' if float(percent) == 0 else '+' if change > 0 else '−'}{percent} %"


LEAST = 1e-6  # divergences below this are rounding
HEADER = (
    *("form", "weights", "bits a weight", "bits per byte", "more", "divergence", "same first token", "right, held out", "tokens/s"),
    *("memory", "measured in", "released"),
)
LEAD = (
    "Each form reads the same texts as the model, in the tool that its users run it in. Divergence is Kullback-Leibler's, from the model "
    "to the form, in nats a token. What is not near enough is not released. Speed is that of one reply at a time on this machine, as busy "
    "as it was; memory is that of the weights as the tool holds them."
)


def variants_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build one table of all forms, and their quality drawn against their size."""
    results = run.results
    names = [position.partition(".")[2] for position in positions if results.metrics(position)]
    if not names:
        return None
    rows = [_full(results, names[0]), *(_row(results, name) for name in names)]
    filled = [column for column in range(len(HEADER)) if any(row.cells[column] for row in rows)]
    shown = tuple(Row(tuple(row.cells[column] for column in filled), row.tone) for row in rows)
    header = tuple(HEADER[column] for column in filled)
    right = frozenset(place for place, column in enumerate(filled) if column in range(1, 10))
    table = Table("Each form beside the model", header, shown, right)
    return Section("variants", "Quantized forms", LEAD, _drawn(results, names), tables=(table,))


VARIANTS = Topic("variants", 105, variants_section)


def _full(results: Results, name: str) -> Row:
    measured, made = results.metrics(f"measure.{name}"), results.metrics(f"quantize.{name}")
    before, parameters = made.get("bytes_before", 0.0), made.get("parameters", 0.0)
    bits = number(8 * before / parameters) if parameters else ""
    speed, memory = measured.get("parent_tokens_per_second"), measured.get("parent_memory_bytes")
    known = (_shown(measured.get("parent_bits_per_byte")), "", "", "", _answers(results, "release"), _speed(speed))
    return Row(("full precision", size(before), bits, *known, "" if memory is None else size(memory), "folio", "yes"))


def _row(results: Results, name: str) -> Row:
    measured, made = results.metrics(f"measure.{name}"), results.metrics(f"quantize.{name}")
    verdict = results.json(f"measure.{name}", "verdict.json")
    after, parameters, ratio = made.get("bytes_after", 0.0), made.get("parameters", 0.0), measured.get("bits_per_byte_ratio")
    bits = number(made.get("bits_per_weight", 8 * after / parameters if parameters else 0.0))
    released = "yes" if verdict["passed"] else f"overruled: {verdict['overruled']}" if verdict["overruled"] else "no"
    memory = measured.get("memory_bytes")
    cells = (
        model_form(name), size(after), bits, _shown(measured.get("bits_per_byte")), "" if ratio is None else signed(ratio - 1),
        _between(measured, "kl"), share(measured["top1"]), _answers(results, name), _speed(measured.get("tokens_per_second")),
        "" if memory is None else size(memory), str(verdict["tool"]), released,
    )  # fmt: skip
    return Row(cells, "" if verdict["passed"] else "warned" if verdict["overruled"] else "bad")


def _answers(results: Results, name: str) -> str:
    right = results.metrics(f"evaluate.{name}").get("questions.heldout")
    return "" if right is None else share(right)


def _speed(value: float | None) -> str:
    return "" if value is None else count(value)


def _shown(value: float | None) -> str:
    return "" if value is None else number(value)


def _between(measured: Mapping[str, float], name: str) -> str:
    low, high = (number(measured[f"{name}_{end}"]) for end in ("low", "high"))
    return number(measured[name]) + (f" ({low} to {high})" if low != high else "")


def _drawn(results: Results, names: list[str]) -> tuple[Figure, ...]:
    """Plot divergence against size, a point for each form; nothing for a single form, where the table says it all."""
    if len(names) < 2:
        return ()
    points = [
        Point(
            model_form(name),
            results.metrics(f"quantize.{name}").get("bytes_after", 0.0) / 1e6,
            results.metrics(f"measure.{name}")["kl"],
            "strong" if results.metrics(f"measure.{name}").get("passed") else "other",
        )
        for name in names
    ]

    def draw(width: float) -> Markup:
        labels = {"x_label": "weights, MB", "y_label": "divergence, nats a token"}
        return cached(scatter_chart, points, width=width, height=260.0, least=LEAST, **labels)

    return (figure("Quality against size", draw, "Brown: not near enough."),)


FILE = "origin.json"


def origin_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the section from the first position's origin.json."""
    results, position = run.results, next(iter(positions))
    artifact, metrics = results.artifacts[position], results.metrics(position)
    origin = json.loads((results.folder(artifact) / FILE).read_text(encoding="utf-8"))
    facts = {
        "model": origin["name"],
        "from": {"hub": "a hub", "folder": "a folder", "gguf": "a GGUF file"}.get(origin["kind"], origin["kind"]),
        "revision": origin["revision"],
        "licence": origin["licence"],
        "parameters": count(metrics["parameters"]),
        "vocabulary": f"{count(metrics['vocab_size'])} tokens",
        "context": f"{count(metrics['context'])} tokens",
        "chat template": "its own" if metrics["own_template"] else "a plain one, since the model has none",
    }
    rows = tuple(Row((name, value)) for name, value in facts.items() if value)
    files = tuple(Row((name, digest)) for name, digest in origin["sha256"].items())
    lead = f"It was made from {origin['name']}, which others trained; that model's licence ({origin['licence']}) applies to it."
    tables = (Table("The model", ("", ""), rows), Table("Its files, by sha256", ("file", "sha256"), files, code=frozenset({0, 1})))
    return Section("origin", "The model it started from", lead, tables=tables)


ORIGIN = Topic("the model it started from", 35, origin_section)
