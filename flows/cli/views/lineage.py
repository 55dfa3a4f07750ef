"""`folio lineage` and `folio compare`: what made a thing or was made from it, and what differed between two runs.

`folio compare`: what differed between two runs, and what that changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data.provenance.tables import IngestedDocument
from flows.cli.snapshot import open_snapshot
from model.evaluation.plain_words import Shift
from tasks.lineage.compare import Comparison, Difference, compare, comparison_json, shifts
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.holdings import find_holdings
from tasks.lineage.resolve import Subject, resolve
from tasks.lineage.tree import commit_counts, lineage_json, rates_of, render_tree, seeds
from tasks.reporting.lineage_drawing import as_file, draw_graph
from tasks.reporting.stages import spent
from tasks.reporting.wording import number
from tasks.stage.execution.plan import setting
from tasks.stage.identity.tracing.trace import Change
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.columns import columns, terminal_width, wrapped
from tasks.stage.tracking.cost import total_cost


def show_lineage(
    thing: str, *, forward: bool = False, unfold: bool = False, as_json: bool = False, drawing: Path | None = None, store: str = ""
) -> str:
    """Return a lineage as text or JSON, and draw it if asked. Raises LookupError if nothing in the store is called `thing`."""
    if unfold and as_json and drawing is None:
        raise ValueError("--all unfolds the tree and the drawing; --json always lists every shard. Leave one of them out.")
    snapshot = open_snapshot(store)
    found = resolve(snapshot, thing)
    artifacts = _lineage(snapshot, found, forward)
    if drawing is not None:
        drawn = draw_graph(snapshot.graph, artifacts, forward=forward, unfold=unfold)
        write_atomically(drawing, as_file(drawn).encode())
    rates = rates_of(snapshot.journal.records(), artifacts)
    if as_json:
        return json.dumps(lineage_json(snapshot.graph, found, artifacts, forward, rates), indent=1)
    only = {artifact.address for artifact in artifacts}
    lines = [
        *([found.description] if found.description else []),
        *render_tree(snapshot.graph, found.roots, forward=forward, unfold=unfold, only=only),
    ]
    lines.append(f"cost of all of it: {spent(total_cost(artifacts), rates)}")
    if not forward:
        numbers = {f"{artifact.stage}.{name}={seed}" for artifact in artifacts for name, seed in seeds(artifact).items()}
        lines += wrapped(f"seeds: {', '.join(sorted(numbers))}") if numbers else []
        lines += [f"git commit {name}, {count} of {len(artifacts)} artifacts" for name, count in commit_counts(artifacts).items()]
    return "\n".join([*lines, *([f"drawn in {drawing}"] if drawing else [])])


def _lineage(snapshot: StoreSnapshot, found: Subject, forward: bool) -> list[Artifact]:
    """Return the artifacts in a thing's lineage. Forward from a document, only those that hold or learned from its words."""
    if not forward:
        return snapshot.graph.ancestors(*found.roots)
    if found.document is None:
        return snapshot.graph.descendants(*found.roots)
    holding = {held.artifact.address for held in find_holdings(snapshot, found.document) if held.affected}
    return [artifact for artifact in snapshot.graph.descendants(*found.roots) if artifact.address in holding]


MOST = 60
BOUNDS = ("_low", "_high", "_error")


def compare_runs(first: str, second: str, *, as_json: bool = False, store: str = "") -> str:
    """Return the comparison as text or JSON. Raises LookupError for a name that matches no run, or several."""
    snapshot = open_snapshot(store)
    comparison = compare(snapshot, snapshot.journal.get(first), snapshot.journal.get(second))
    found = shifts(snapshot.store, comparison)
    if as_json:
        whole = comparison_json(comparison)
        for name, shift in found.items():
            whole["metrics"][name] |= {"low": shift.low, "high": shift.high, "paired": shift.paired, "beyond_noise": shift.beyond_noise}
        return json.dumps(whole, indent=1)
    return "\n".join(_lines(comparison, found))


def _lines(comparison: Comparison, found: Mapping[str, Shift]) -> Iterator[str]:
    for side in (comparison.first, comparison.second):
        run = side.run
        ran = sum(position.action == "executed" for position in run.positions.values())
        lost = f", records gone: {', '.join(side.missing)}" if side.missing else ""
        yield f"{run.id}  {run.recipe}, {run.status}, started {run.started[:19]}, ran {ran} of {len(run.positions)} stages{lost}"
    yield from _section("configuration", changes(comparison.configuration))
    yield from _section("code", affected(comparison.read.code))
    yield from _section("libraries", affected(comparison.read.libraries))
    if comparison.read.unknown:
        yield f"  (nothing says what ran at {', '.join(comparison.read.unknown)})"
    books = comparison.documents
    groups = (("added", books.added), ("removed", books.removed), ("changed", books.changed))
    documents = [f"{title}: {_names(group)}" for title, group in groups if group]
    yield from _section("documents", [*documents, *([books.problem] if books.problem else [])])
    # Files that are documents are listed above.
    if comparison.files and not documents:
        yield from _section("files", [f"{name} {_fate(change)}" for name, change in comparison.files.items()])
    yield from _section("accepted", [f"{position} in {run}: {reason}" for run, position, reason in comparison.acceptances])
    yield from _section("different outputs", list(comparison.outputs))
    differing = {name: pair for name, pair in comparison.metrics.items() if str(pair[0]) != str(pair[1])}
    same = len(comparison.metrics) - len(differing)
    rows = [
        (name, _shown(a), _shown(b), difference(a, b), noise_of(found.get(name)))
        for name, (a, b) in differing.items()
        if not name.endswith(BOUNDS)
    ]
    yield from _section(
        f"metrics, without {same} equal ones and the bounds of intervals",
        columns([("metric", "first", "second", "difference", "its 95 % interval"), *rows] if rows else [], room=terminal_width() - 2),
    )
    verdicts = [(position, a or "-", b or "-") for position, (a, b) in comparison.gates.items()]
    yield from _section("gates", columns(verdicts, room=terminal_width() - 2))
    costs = [f"{side.run.id}: {spent(total_cost(side.artifacts.values()), side.rates)}" for side in (comparison.first, comparison.second)]
    yield from _section("cost of everything each run is made of", costs)


def noise_of(shift: Shift | None) -> str:
    """Return the interval of a difference, and whether it is more than noise; nothing where no interval was measured."""
    if shift is None:
        return ""
    verdict = "beyond noise" if shift.beyond_noise else "within noise"
    return f"{verdict}: {shift.low:+.3g} to {shift.high:+.3g}"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"\n{title}{'' if lines else ': none'}"
    yield from (f"  {line}" for line in lines[:MOST])
    if len(lines) > MOST:
        yield f"  and {len(lines) - MOST} more (--json)"


def changes(found: dict[str, Difference]) -> list[str]:
    """Return a line for each setting that differs."""
    return [f"{name}: {setting(a)} -> {setting(b)}" for name, (a, b) in found.items()]


def affected(found: Mapping[Change, tuple[str, ...]]) -> list[str]:
    """Return a line for each change of code or libraries, with the stages that it affects."""
    return [f"{change} ({', '.join(stages)})" for change, stages in found.items()]


def _fate(change: Difference) -> str:
    return "was added" if change[0] is None else "is gone" if change[1] is None else "changed"


def _names(books: Sequence[IngestedDocument], most: int = 8) -> str:
    more = f" and {len(books) - most} more" if len(books) > most else ""
    return f"{', '.join(book.name for book in books[:most])}{more} ({len(books)})"


def _shown(value: float | None) -> str:
    return "-" if value is None else number(value) if value == value else "nan"


def difference(a: float | None, b: float | None) -> str:
    """Return how much more the second of two numbers is, absolutely and in percent; nothing if either is unknown."""
    if a is None or b is None or a != a or b != b:
        return ""
    relative = f" ({(b - a) / abs(a):+.1%})" if a else ""
    return f"{b - a:+.4g}{relative}"
