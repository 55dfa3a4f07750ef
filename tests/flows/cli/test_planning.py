"""What a plan knows of the pipeline."""

from __future__ import annotations

from flows.cli.planning import stages


def test_the_stages_that_a_plan_knows_are_those_of_the_pipeline() -> None:
    assert {"ingest", "clean", "dedup", "sketch", "assign", "split", "pretrain", "tune", "evaluate", "gate", "export"} <= set(stages())
