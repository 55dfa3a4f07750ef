"""How large the model and its quantized variants are, and what the smaller ones cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tasks.reporting.charts import Bar
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, bars_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, model_form, number, share, size

# How well a model does on a split, by what it can do: one that predicts next tokens, one that fills gaps.
MEASURES = {"bits_per_byte": "bits per byte", "masked_loss": "masked loss"}


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
        form = f": {shape['layers']} layers of width {shape['width']}, {shape['context']} tokens of context" if shape else ""
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


def variant_cost(results: Results, name: str) -> VariantCost | None:
    """Return a variant's loss of quality against full precision, on the least seen split and the first metric both have."""
    full, small = results.metrics("evaluate.release"), results.metrics(f"evaluate.{name}")
    for split in ("test", "val", "train"):
        for metric, measure in MEASURES.items():
            metric = f"{split}.{metric}"
            if full.get(metric) and metric in small:
                return VariantCost(split, measure, small[metric] / full[metric] - 1)
    return None


def signed(change: float) -> str:
    """Return a relative change as text: `0.0012` -> `+0.12 %`, without a sign if it rounds to zero."""
    percent = f"{abs(change) * 100:.2f}"
    return f"{'' if float(percent) == 0 else '+' if change > 0 else '−'}{percent} %"
