"""A trace sees every edit that changes what a stage does, and none that doesn't, whatever Python offers to hide it."""

from __future__ import annotations

import pytest

from tests.identity.traces.cases import Case, read_all
from tests.identity.traces.conftest import Outcomes

CASES = read_all()


def table(must_rerun: bool) -> pytest.MarkDecorator:
    """A test for each case of a kind."""
    return pytest.mark.parametrize("case", [case for case in CASES if case.must_rerun == must_rerun], ids=lambda case: case.id)


@table(must_rerun=True)
def test_an_edit_that_changes_what_a_stage_does_runs_it_again(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before != found.after, "the edit changes what the program gives"
    assert found.causes


@table(must_rerun=False)
def test_an_edit_that_changes_nothing_a_stage_does_runs_nothing(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.before == found.after, "the edit changes nothing that the program gives"
    assert not found.causes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_program_does_the_same_when_it_is_recorded(case: Case, outcomes: Outcomes) -> None:
    found = outcomes(case)
    assert found.recorded_before == found.before
    assert found.recorded_after == found.after


def test_there_are_many_cases_and_none_twice() -> None:
    assert sum(case.must_rerun for case in CASES) >= 200
    assert sum(not case.must_rerun for case in CASES) >= 100
    assert len({case.id for case in CASES}) == len(CASES)
