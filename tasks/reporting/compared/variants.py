"""Compare quantized forms with the model: size, quality, speed and memory in the tool each is made for, and which were released."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from tasks.reporting.compared.scatter import Point, scatter_chart
from tasks.reporting.hook import Topic
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, figure
from tasks.reporting.sizes import signed
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, model_form, number, share, size

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
