"""Each change of the matrix runs exactly the positions it must, for the cause that the plan named; a second plan has nothing to do.

`make identity` runs the lines.
"""

from __future__ import annotations

import pytest

from tests.identity.bench import ROOT
from tests.identity.changing import Edit, Together
from tests.identity.conftest import Outcomes
from tests.identity.matrix import MATRIX, Line


@pytest.mark.slow
@pytest.mark.parametrize("line", MATRIX, ids=lambda line: line.name)
def test_a_change_runs_exactly_what_it_must(line: Line, outcomes: Outcomes) -> None:
    outcome = outcomes(line)
    decided = {word: {position for position, (action, _) in outcome.planned.items() if action == word} for word in ("run", "wait", "reuse")}
    assert outcome.executed == set(line.positions.split())
    assert decided["run"] <= outcome.executed, "what the plan is sure of runs"
    assert outcome.executed <= decided["run"] | decided["wait"], "what the plan would reuse does not run"
    assert outcome.stopped == "" or outcome.stopped == outcome.failed, "the plan knows the gate that stops the run"
    first = line.positions.split()[:1] or outcome.planned
    assert line.cause in "; ".join(cause for position in first for cause in outcome.planned[position][1])
    assert set(outcome.after.values()) == {"reuse"}, "nothing is left to do"


def test_each_edit_of_the_matrix_is_of_text_that_is_there() -> None:
    for line in MATRIX:
        texts: dict[str, str] = {}
        steps = line.how.changes if isinstance(line.how, Together) else (line.how,)
        for edit in (step for step in steps if isinstance(step, Edit) and step.path.startswith("rooms/")):
            text = texts.setdefault(edit.path, (ROOT / edit.path.removeprefix("rooms/")).read_text(encoding="utf-8"))
            assert text.count(edit.old) == 1, f"{line.name}: {edit.old!r} in {edit.path}"
            texts[edit.path] = text.replace(edit.old, edit.new)


def test_the_matrix_is_large_and_no_line_stands_in_it_twice() -> None:
    assert len(MATRIX) >= 60
    assert len({line.name for line in MATRIX}) == len(MATRIX)
