"""A store that another version of folio has written: what can't be vouched for is named, nothing is rebuilt unseen, nothing is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.cli.planning import TimeEstimate, plan_table
from tasks.forecast.rates import Load
from tasks.stage.execution.approving import NotAcceptable, accept
from tasks.stage.execution.plan import Decision
from tasks.stage.identity.tracing.mark_file import VERSION
from tasks.stage.identity.tracing.trace import RULES
from tasks.stage.store.artifact import FORMAT, RECORD, seal, unseal
from tasks.stage.store.garbage import verify_artifacts
from tasks.stage.store.traces import read_trace, save_trace
from tests.tasks.toy_bodies import Learn
from tests.tasks.toys import POSITIONS, Toys, Workshop

Record = dict[str, Any]


def of_rules(rules: str) -> Callable[[Workshop, Record], None]:
    def change(workshop: Workshop, record: Record) -> None:
        recorded = dict(json.loads(read_trace(workshop.opened(), record["trace"]) or b"[]")) | {"rules": rules}
        record["trace"] = save_trace(workshop.opened(), json.dumps(sorted(recorded.items())).encode())

    return change


def of_marks(version: int) -> Callable[[Workshop, Record], None]:
    def change(workshop: Workshop, record: Record) -> None:
        marked = json.loads(read_trace(workshop.opened(), record["marks"]) or b"{}") | {"version": version, "another": ["field"]}
        record["marks"] = save_trace(workshop.opened(), json.dumps(marked).encode())

    return change


def of_format(number: int, **other: object) -> Callable[[Workshop, Record], None]:
    def change(workshop: Workshop, record: Record) -> None:
        del record["cost"]
        record |= {"format": number, **other}

    return change


def newer(workshop: Workshop, record: Record) -> None:
    record["format"] = FORMAT + 1


def without_trace(workshop: Workshop, record: Record) -> None:
    record |= {"trace": "", "marks": "", "format": 1}


AGES: dict[str, tuple[Callable[[Workshop, Record], None], str, bool]] = {
    "older rules": (of_rules("1"), f"made by an older folio (rules 1, now {RULES})", True),
    "newer rules": (of_rules("99"), f"made by a newer folio (rules 99, now {RULES})", True),
    "older marks": (of_marks(2), f"made by an older folio (marks 2, now {VERSION})", False),
    "an older record": (of_format(1), f"made by an older folio (records of format 1, now {FORMAT})", False),
    "a record of other fields": (of_format(99, unheard_of=1), f"made by a newer folio (records of format 99, now {FORMAT})", False),
    "a newer record of the same fields": (newer, f"made by a newer folio (records of format {FORMAT + 1}, now {FORMAT})", False),
    "no traces": (without_trace, "made by an older folio (from before traces were recorded)", False),
}
each = pytest.mark.parametrize("kind", AGES)


def rewrite(workshop: Workshop, kind: str, positions: tuple[str, ...] = POSITIONS) -> dict[str, Path]:
    """Rewrite the records at some positions as another folio would have written them; return their folders."""
    folders = {position: workshop.folder_of(artifact) for position, artifact in workshop.made().items() if position in positions}
    for folder in folders.values():
        text, _ = unseal((folder / RECORD).read_bytes())
        record = json.loads(text)
        AGES[kind][0](workshop, record)
        (folder / RECORD).write_bytes(seal(json.dumps(record, indent=1)))
    return folders


def table(decisions: list[Decision]) -> str:
    """Return the words of `folio plan`, on one line."""
    return " ".join(plan_table(decisions, "", TimeEstimate.of([], 1, Load(0.0, 0.0, 1))).split())


def decided(workshop: Workshop, position: str, recipe: Toys | None = None) -> Decision:
    return next(decision for decision in workshop.plan(recipe) if decision.position == position)


@each
def test_a_plan_names_what_another_folio_made_as_a_group_with_the_reason(worked: Workshop, kind: str) -> None:
    rewrite(worked, kind)
    told = table(worked.plan())
    assert f"4 artifacts of this store were {AGES[kind][1]}: what they ran can't be compared, so their stages run again: collect, " in told
    assert ("folio accept STAGE --reason ..." if AGES[kind][2] else "no acceptance can keep one") in told
    collect = decided(worked, "collect")
    assert collect.action == "run"
    assert any(AGES[kind][1] in cause for cause in collect.causes)
    assert collect.row()["made_by_another_folio"]


@each
def test_a_run_says_at_its_start_what_it_makes_again_and_leaves_the_old_files_where_they_are(
    worked: Workshop, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folders = rewrite(worked, kind)
    content = {folder: {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".txt"} for folder in folders.values()}
    with caplog.at_level(logging.INFO, "folio"):
        worked.run()
    lines = [record.getMessage() for record in caplog.records]
    start = next(number for number, line in enumerate(lines) if "4 artifacts of this store" in line and AGES[kind][1] in line)
    assert not any("runs because" in line for line in lines[:start])
    assert any(line.startswith("collect: runs because") and AGES[kind][1] in line for line in lines)
    assert "collect" in worked.executed
    assert not (Path(worked.store) / ".quarantine").exists()
    for folder, files in content.items():
        assert {name: (folder / name).read_bytes() for name in files} == files
    assert {decision.action for decision in worked.plan()} == {"reuse"}


@each
def test_an_acceptance_keeps_what_another_folio_made_or_says_why_it_can_not(worked: Workshop, kind: str) -> None:
    before = worked.made()["learn"]
    rewrite(worked, kind, ("learn",))
    _, made_by, acceptable = AGES[kind]
    if not acceptable:
        with pytest.raises(NotAcceptable) as refused:
            accept(worked.opened(), "toys", decided(worked, "learn"), "it is good")
        assert made_by in str(refused.value) and "no acceptance can keep it; run it." in str(refused.value)
        return
    acceptance = accept(worked.opened(), "toys", decided(worked, "learn"), "it is good")
    assert any(made_by in cause for cause in acceptance.causes)
    decision = decided(worked, "learn")
    assert (decision.action, decision.artifact and decision.artifact.location) == ("reuse", before.location)
    assert "of this store" not in table(worked.plan())
    worked.run()
    assert worked.executed == []
    worked.edit("json.dumps([counts, rate])", "json.dumps([counts, 1 * rate])")
    assert decided(worked, "learn").action == "run", "the next change ends it"


@each
def test_verification_counts_what_another_folio_made_and_calls_none_of_it_damaged(worked: Workshop, kind: str) -> None:
    rewrite(worked, kind, ("collect", "learn"))
    found = verify_artifacts(worked.opened())
    assert found.damaged == ()
    assert [(number, f"({age})" in AGES[kind][1]) for age, number in found.old.items()] == [(2, True)]


def test_settings_that_changed_as_well_are_named_beside_the_version(worked: Workshop) -> None:
    rewrite(worked, "older rules")
    causes = decided(worked, "learn", Toys(learn=Learn(rate=0.25))).causes
    assert causes[0] == "rate: 0.5 -> 0.25" and AGES["older rules"][1] in causes[1]


def test_a_store_of_this_folio_alone_says_nothing_of_others(worked: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "folio"):
        worked.run()
    assert "another folio" not in caplog.text and "of this store" not in table(worked.plan())
    assert verify_artifacts(worked.opened()).old == {}
