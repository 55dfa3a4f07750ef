"""How large the model is, in full precision and in INT8, and what the smaller one costs."""

from __future__ import annotations

from tasks.reporting.account import Account
from tasks.reporting.charts import Bar
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Row, Section, Table, bars_figure
from tasks.reporting.wording import count, number, share, size


def sizes_section(account: Account) -> Section | None:
    """Weights in both precisions, and every file of the release."""
    evidence = account.evidence
    quantized = evidence.metrics("quantize")
    exported = evidence.artifacts.get("export")
    figures, tables = [], []
    if "bytes_before" in quantized:
        before, after = quantized["bytes_before"], quantized["bytes_after"]
        bars = [Bar("full precision", before, size(before)), Bar("INT8", after, size(after), share(after / before), "other")]
        figures.append(bars_figure("Weights on disk", bars))
    if exported is not None:
        files = sorted(exported.files, key=lambda file: (-file.size, file.path))
        rows = tuple(Row((file.path, size(file.size))) for file in files)
        caption = f"The release, {size(sum(file.size for file in files))}"
        tables.append(Table(caption, ("file", "size"), rows, frozenset({1}), frozenset({0}), half=True))
    if not figures and not tables:
        return None
    return Section("sizes", "Sizes", _lead(evidence), tuple(figures), tables=tuple(tables))


def _lead(evidence: Evidence) -> str:
    sentences = []
    parameters = parameters_of(evidence)
    shape = evidence.artifacts["pretrain"].config.get("model", {}) if "pretrain" in evidence.artifacts else {}
    if parameters:
        form = f": {shape['layers']} layers of width {shape['width']}, {shape['context']} tokens of context" if shape else ""
        sentences.append(f"The model has {count(parameters)} parameters{form}.")
    cost = int8_cost(evidence)
    if cost is not None:
        split, change = cost
        sentences.append(f"INT8 changes its bits per byte on {split} by {signed(change)}.")
    worst = evidence.metrics("quantize").get("error_max")
    if worst is not None:
        sentences.append(f"No weight moved by more than {number(worst)}.")
    return " ".join(sentences)


def parameters_of(evidence: Evidence) -> float | None:
    """Parameters of the released model, as the last stage that counted them says."""
    counted = (evidence.metrics(place).get("parameters") for place in ("export", "quantize"))
    return next((parameters for parameters in counted if parameters is not None), None)


def int8_cost(evidence: Evidence) -> tuple[str, float] | None:
    """(split, relative change of bits per byte) from full precision to INT8, on the most unseen split that both were measured on."""
    full, small = evidence.metrics("evaluate.release"), evidence.metrics("evaluate.int8")
    for split in ("test", "val", "train"):
        name = f"{split}.bits_per_byte"
        if full.get(name) and name in small:
            return split, small[name] / full[name] - 1
    return None


def signed(change: float) -> str:
    """A relative change: `0.0012` -> `+0.12 %`, without a sign when it rounds to nothing."""
    percent = f"{abs(change) * 100:.2f}"
    return f"{'' if float(percent) == 0 else '+' if change > 0 else '−'}{percent} %"
