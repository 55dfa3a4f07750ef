"""What each step of tuning was for: its own measure before and after it, and whether it passed its gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.gates import TONES, WORDS, gates_of
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count, number

HEADER = ("step", "measure", "unit", "before", "after", "better by", "measured on", "gate")


def aims_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table with a row for each step that was examined, in their order; None without any."""
    gates = {gate.name: gate for gate in gates_of(run.results)}
    rows = []
    for position in positions:
        step, told = position.partition(".")[2], run.results.json(position, "summary.json")
        gate = gates.get(step)
        state = gate.state if gate else ""
        verdict = (WORDS[state], TONES[state]) if gate else ("not judged", "quiet")
        rows.append(Row((step, *_cells(told), verdict[0]), verdict[1] if state != "passed" else ""))
    if not rows:
        return None
    lead = (
        "Each step was measured by its own aim, before and after it, on the same rows with the same seeds. The interval of the gain is "
        "over pairs of rows; a step passes its gate only if all of it is above 0, and if it costs no more elsewhere than its bounds allow."
    )
    table = Table("Before and after each step, by its own measure", HEADER, tuple(rows), frozenset({3, 4, 5}))
    return Section("aims", "What tuning was for", lead, tables=(table,))


AIMS = Topic("what tuning was for", 34, aims_section)


def _cells(told: Mapping[str, Any]) -> tuple[str, ...]:
    better = "lower is better" if told["lower_is_better"] else "higher is better"
    interval = f" ({number(told['gain_low'])} to {number(told['gain_high'])})" if "gain_low" in told else ""
    figures = (number(told["before"]), number(told["after"]), f"{number(told['gain'])}{interval}")
    return (f"{told['title']}; {better}", told["unit"], *figures, f"{count(told['units'])} {told['counted']}")
