"""A trace sees every edit that changes what a stage does, and none that doesn't, whatever Python offers to hide it."""

from __future__ import annotations

import pytest

from tests.identity.lint import unseen
from tests.identity.traces.cases import Case, read_all
from tests.identity.traces.conftest import Outcomes

CASES = read_all()


# Like cases stand together, so each twelfth one is of every kind. `make identity` runs all of them.
OFTEN = 12
SELDOM = frozenset(case.id for number, case in enumerate(CASES) if number % OFTEN)


def table(*kinds: str) -> pytest.MarkDecorator:
    """A test for each case of some kinds."""
    asked = (case for case in CASES if case.kind in kinds)
    marked = [pytest.param(case, id=case.id, marks=pytest.mark.slow if case.id in SELDOM else ()) for case in asked]
    return pytest.mark.parametrize("case", marked)


@table("rerun")
def test_an_edit_that_changes_what_a_stage_does_runs_it_again(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before != found.after, "the edit changes what the program gives"
    assert found.causes


@table("same")
def test_an_edit_that_changes_nothing_a_stage_does_runs_nothing(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before == found.after, "the edit changes nothing that the program gives"
    assert not found.causes


@table("conservative")
def test_an_edit_of_what_ran_at_import_runs_again_though_nothing_uses_it(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before == found.after, "the edit changes nothing that the program gives"
    assert found.causes, "this case belongs to those that run nothing"


@table("refused")
def test_an_edit_that_a_trace_may_not_see_needs_code_that_is_refused(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before != found.after, "the edit changes what the program gives"
    assert found.causes or any(unseen(path, text) for path, text in case.before.files.items() if path.endswith(".py"))


@table("rerun", "same", "conservative")
def test_a_program_does_the_same_when_it_is_recorded(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.recorded_before == found.before
    assert found.recorded_after == found.after


def test_there_are_many_cases_and_none_twice() -> None:
    assert sum(case.kind == "rerun" for case in CASES) >= 200
    assert sum(case.kind == "same" for case in CASES) >= 100
    assert len({case.id for case in CASES}) == len(CASES)
