"""How large the model and its quantized variants are, and what the smaller ones cost."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.charts import Bar
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, bars_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, model_form, number, share, size


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
            split, change = cost
            sentences.append(f"{model_form(name)} changes its bits per byte on {split} by {signed(change)}.")
        worst = results.metrics(f"quantize.{name}").get("error_max")
        if worst is not None:
            sentences.append(f"No weight moved by more than {number(worst)}.")
    return " ".join(sentences)


def parameters_of(results: Results) -> float | None:
    """Return the parameters of the released model, by the last stage that counted them."""
    counted = (results.metrics(position).get("parameters") for position in ("export", *results.positions("quantize")))
    return next((parameters for parameters in counted if parameters is not None), None)


def variant_cost(results: Results, name: str) -> tuple[str, float] | None:
    """Return (split, relative change of bits per byte) from full precision to a variant, on the least seen split that both have."""
    full, small = results.metrics("evaluate.release"), results.metrics(f"evaluate.{name}")
    for split in ("test", "val", "train"):
        name = f"{split}.bits_per_byte"
        if full.get(name) and name in small:
            return split, small[name] / full[name] - 1
    return None


def signed(change: float) -> str:
    """Return a relative change as text: `0.0012` -> `+0.12 %`, without a sign if it rounds to zero."""
    percent = f"{abs(change) * 100:.2f}"
    return f"{'' if float(percent) == 0 else '+' if change > 0 else '−'}{percent} %"
