"""What a plan knows of the pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.planning import plan_recipe, stages


def test_the_stages_that_a_plan_knows_are_those_of_the_pipeline() -> None:
    assert {"ingest", "clean", "dedup", "sketch", "assign", "split", "pretrain", "tune", "evaluate", "gate", "export"} <= set(stages())


def test_what_is_ahead_of_a_run_that_was_never_made_is_all_of_it_and_what_cannot_be_foreseen_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    plan = plan_recipe("four_books", (), frozenset(), verify=False)
    (line,) = plan.ahead(plan.estimate())
    whole, unknown = line.split(" stages ahead: ")
    assert int(whole) == len({decision.position.partition("[")[0] for decision in plan.decisions})
    assert unknown.endswith("stages of unknown duration")
