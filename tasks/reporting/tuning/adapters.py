"""The adapters of one model side by side: what each learned, what it took, and what it weighs."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, number, seconds, share, size

SHARES = ("questions.", "skills.")  # metrics that are fractions
SHOWN = ("questions.seen", "questions.heldout")
FOLDER = "adapter/"


def adapters_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table, a row an adapter, after a row for the model that all start from."""
    results = run.results
    names = {position: position.partition(".")[2] for position in positions}
    measured = {position: results.metrics(f"evaluate.{name}") for position, name in names.items()}
    compared = _compared(measured)
    header = ("method", *compared, "trained", "of all", "weights in memory", "peak memory", "time", "steps", "on disk")
    start = results.metrics("evaluate.chat")
    rows = [Row(("before", *(_shown(metric, start) for metric in compared), *[""] * 7), "quiet")]
    rows += [_row(results, position, name, compared, measured[position]) for position, name in names.items()]
    note = (
        "All start from the same model and see the same rows in the same order. Weights in memory are those of one worker, its packed ones "
        "included; peak memory is all that its process took, libraries too. Each value stands with its interval."
    )
    table = Table("Adapters side by side", header, tuple(rows), frozenset(range(1, len(header))))
    return Section("adapters", "Adapters", note, tables=(table,))


ADAPTERS = Topic("adapters", 36, adapters_section)


def _compared(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the metrics that tell quality: losses on the least seen split, and shares of questions and skills."""
    every = next(iter(measured.values()), {})
    losses = [f"{split}.bits_per_byte" for split in ("test", "val", "train") if f"{split}.bits_per_byte" in every][:1]
    return losses + [metric for metric in every if metric in SHOWN or (metric.startswith("skills.") and f"{metric}_low" in every)]


def _row(results: Results, position: str, name: str, compared: list[str], measured: Mapping[str, float]) -> Row:
    artifact, metrics = results.artifacts[position], results.metrics(position)
    own = [file.size for file in artifact.files if file.path.startswith(FOLDER)]
    disk = sum(own) if own else sum(file.size for file in artifact.files if file.path.endswith(".safetensors"))
    trained, held = metrics.get("trained_parameters", 0.0), metrics.get("weight_parameters", 0.0)
    cells = (
        name,
        *(_shown(metric, measured) for metric in compared),
        count(trained),
        share(trained / held) if held else "",
        size(metrics.get("weight_bytes", 0.0)),
        size(metrics.get("peak_memory_bytes", 0.0)),
        seconds(artifact.cost.wall_seconds),
        count(metrics.get("steps", 0.0)),
        size(disk),
    )
    return Row(cells)


def _shown(metric: str, measured: Mapping[str, float]) -> str:
    if metric not in measured:
        return ""
    shown = share if metric.startswith(SHARES) else number
    interval = f" ({shown(measured[f'{metric}_low'])} to {shown(measured[f'{metric}_high'])})" if f"{metric}_low" in measured else ""
    return f"{shown(measured[metric])}{interval}"
