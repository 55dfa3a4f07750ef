"""The gates of a run: what was asked, what was measured, what came of it. A gate that failed shows before any that passed."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reporting.account import Account
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import joined, plural

WORDS = {"failed": "failed", "overruled": "failed, overruled", "passed": "passed"}
TONES = {"failed": "bad", "overruled": "warned", "passed": "good"}
HEADER = ("metric", "value", "bound", "margin", "verdict")
WIDTHS = (30, 11, 29, 12, 18)


@dataclass(frozen=True)
class Gate:
    """One gate; `state` is passed, failed or overruled, `reason` why it was overruled."""

    place: str
    state: str
    reason: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """`gate.base` -> `base`."""
        return self.place.partition(".")[2] or self.place


def gates_of(evidence: Evidence) -> list[Gate]:
    """Every gate of a run, in the flow's order."""
    return [_gate(evidence, place) for place in evidence.places("gate")]


def _gate(evidence: Evidence, place: str) -> Gate:
    metrics, verdict = evidence.metrics(place), evidence.json(place, "verdict.json")
    passed, overruled = metrics.get("passed") == 1.0, metrics.get("overruled") == 1.0
    state = "passed" if passed else "overruled" if overruled else "failed"
    rows = tuple(tuple(str(row[name]) for name in HEADER) for row in verdict["rows"])
    return Gate(place, state, str(verdict["overruled"] or "") if state == "overruled" else "", rows)


def worst(gates: list[Gate]) -> str:
    """The state that a run of these gates is in: unjudged when there are none."""
    return next((state for state in WORDS if any(gate.state == state for gate in gates)), "unjudged")


def outcome(gates: list[Gate]) -> str:
    """The gates in a sentence."""
    if not gates:
        return "No gate has judged this run."
    failed, overruled, passed = ([gate.name for gate in gates if gate.state == state] for state in WORDS)
    if not failed and not overruled:
        return "Its gate passed." if len(gates) == 1 else f"All {len(gates)} gates passed."
    parts = [f"{joined(failed)} failed"] if failed else []
    parts += [f"{joined(overruled)} failed and {'was' if len(overruled) == 1 else 'were'} overruled"] if overruled else []
    parts += [f"{joined(passed)} passed"] if passed else []
    return f"Of {plural(len(gates), 'gate')}, {'; '.join(parts)}."


def gates_section(account: Account) -> Section | None:
    """A table for each gate, failed ones first."""
    gates = gates_of(account.evidence)
    if not gates:
        return None
    ordered = sorted(gates, key=lambda gate: list(WORDS).index(gate.state))
    lead = "Nothing goes on past a gate unless every bound holds; a value that is missing or not finite fails."
    return Section("gates", "Gates", lead, tables=tuple(_table(gate) for gate in ordered))


def _table(gate: Gate) -> Table:
    rows = tuple(Row(_cells(row), "" if row[-1] == "passed" else "bad") for row in gate.rows)
    note = f"Overruled: {gate.reason}" if gate.reason else ""
    return Table(gate.name, HEADER, rows, frozenset({1, 3}), frozenset({0, 2}), WORDS[gate.state], TONES[gate.state], note, WIDTHS)


def _cells(row: tuple[str, ...]) -> tuple[str, ...]:
    return (row[0], row[1], row[2], row[3].replace("-", "−") if len(row[3]) > 1 else row[3], row[4])
