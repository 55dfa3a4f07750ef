"""A trace sees each edit that changes what a program gives, and leaves alone those that an engineer expects to change nothing.

Nobody says which edits change something: each program is run before and after its edit.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.identity.edits.case import Case
from tests.identity.edits.runs import Outcome, execute
from tests.identity.edits.themes import CASES, CONSERVATIVE

# Like cases stand together, so each twelfth one is of every kind. `make identity` runs all of them.
OFTEN = 12
TABLE = [pytest.param(case, id=case.id, marks=pytest.mark.slow if number % OFTEN else ()) for number, case in enumerate(CASES)]
Found = Callable[[Case], Outcome]


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What came of a case; all that the session asks for run at once."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    asked = [call.params["case"] for call in calls if call is not None and isinstance(call.params.get("case"), Case)]
    outcomes = {outcome.case.id: outcome for outcome in execute(asked, tmp_path_factory.mktemp("edits"))}
    return lambda case: outcomes[case.id]


@pytest.mark.parametrize("case", TABLE)
def test_an_edit_runs_a_program_again_if_it_changes_what_it_gives_and_not_if_it_is_quiet(case: Case, found: Found) -> None:
    outcome = found(case)
    assert not outcome.before.startswith("failed")
    assert not (outcome.must_rerun and case.intent), f"changes what the program gives: {outcome.before} to {outcome.after}"
    assert outcome.must_rerun or case.intent, f"changes nothing that the program gives: {outcome.before}"
    assert outcome.verdict != "missed", outcome.failure or f"not seen: {outcome.before} to {outcome.after}"
    if case.intent == "quiet" and case.id not in CONSERVATIVE:
        assert outcome.verdict == "alone", outcome.causes


def test_few_quiet_edits_run_a_program_again_and_each_has_a_reason() -> None:
    quiet = {case.id for case in CASES if case.intent == "quiet"}
    assert CONSERVATIVE.keys() <= quiet
    assert len(CONSERVATIVE) <= len(quiet) / 20


def test_there_are_many_cases_and_none_twice() -> None:
    assert sum(not case.intent for case in CASES) >= 120
    assert sum(case.intent == "quiet" for case in CASES) >= 60
    assert len({case.id for case in CASES}) == len(CASES)
