"""The gates of a run: bounds, measured values and verdicts. A gate that failed is shown before any that passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import joined, plural
from tasks.stage.system.columns import table

WORDS = {"failed": "failed", "overruled": "failed, overruled", "passed": "passed"}
TONES = {"failed": "bad", "overruled": "warned", "passed": "good"}
HEADER = ("metric", "value", "bound", "margin", "verdict")
WIDTHS = (30, 11, 29, 12, 18)


@dataclass(frozen=True)
class Gate:
    """One gate; `state` is passed, failed or overruled, `reason` says why it was overruled."""

    position: str
    state: str
    reason: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """`gate.base` -> `base`."""
        return self.position.partition(".")[2] or self.position


def gates_of(results: Results) -> list[Gate]:
    """Return every gate of a run, in the flow's order."""
    return [_gate(results, position) for position in results.positions("gate")]


def _gate(results: Results, position: str) -> Gate:
    metrics, verdict = results.metrics(position), results.json(position, "verdict.json")
    passed, overruled = metrics.get("passed") == 1.0, metrics.get("overruled") == 1.0
    state = "passed" if passed else "overruled" if overruled else "failed"
    rows = tuple(with_ratio([str(row[name]) for name in HEADER]) for row in verdict["rows"])
    return Gate(position, state, str(verdict["overruled"] or "") if state == "overruled" else "", rows)


def gate_text(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows of a verdict as a table for a terminal; where it has no room for the columns, the cells of each row stand stacked."""
    return "\n".join(table([HEADER, *map(with_ratio, rows)]))


def with_ratio(row: Sequence[str]) -> tuple[str, ...]:
    """Return a row that calls its value a ratio if its bound is one, such as `<= 1.02 x release.test.bits_per_byte`."""
    metric, value, bound, *rest = row
    return (metric, f"{value} (ratio)" if " x " in bound and not value.endswith(")") else value, bound, *rest)


def worst(gates: list[Gate]) -> str:
    """Return the worst state of the gates, or unjudged if there are none."""
    return next((state for state in WORDS if any(gate.state == state for gate in gates)), "unjudged")


def outcome(gates: list[Gate]) -> str:
    """Return the verdicts of the gates as a sentence."""
    if not gates:
        return "No gate has judged this run."
    failed, overruled, passed = ([gate.name for gate in gates if gate.state == state] for state in WORDS)
    if not failed and not overruled:
        return "Its gate passed." if len(gates) == 1 else f"All {len(gates)} gates passed."
    parts = [f"{joined(failed)} failed"] if failed else []
    parts += [f"{joined(overruled)} failed and {'was' if len(overruled) == 1 else 'were'} overruled"] if overruled else []
    parts += [f"{joined(passed)} passed"] if passed else []
    return f"Of {plural(len(gates), 'gate')}, {'; '.join(parts)}."


def gates_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table for each gate, failed ones first."""
    gates = gates_of(run.results)
    if not gates:
        return None
    ordered = sorted(gates, key=lambda gate: list(WORDS).index(gate.state))
    lead = "The run stops at a gate unless every bound holds. A value that is missing or not finite fails."
    return Section("gates", "Gates", lead, tables=tuple(_table(gate) for gate in ordered))


GATES = Topic("gates", 20, gates_section)


def _table(gate: Gate) -> Table:
    rows = tuple(Row(_cells(row), "" if row[-1] == "passed" else "bad") for row in gate.rows)
    note = f"Overruled: {gate.reason}" if gate.reason else ""
    return Table(gate.name, HEADER, rows, frozenset({1, 3}), frozenset({0, 2}), WORDS[gate.state], TONES[gate.state], note, WIDTHS)


def _cells(row: tuple[str, ...]) -> tuple[str, ...]:
    return (row[0], row[1], row[2], row[3].replace("-", "−") if len(row[3]) > 1 else row[3], row[4])
