"""Stages say what the page shows of them, and the page asks no list of names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flows.pipeline  # noqa: F401  # imports every stage
from tasks.reporting.hook import ReportHook, Topic, all_topics, report_hook, title_of
from tasks.reporting.parts import Section
from tasks.stage.stage import STAGES, stage
from tests.tasks.reporting.example_run import RunMaker


def test_a_stage_adds_its_section_to_the_page_and_nothing_else_changes(maker: RunMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic("birdsong", 45, lambda run, positions: Section("birdsong", "Birdsong", f"Heard at {positions}"))
    monkeypatch.setitem(STAGES, "sing", STAGES["gate"])  # so that the stage below is forgotten after the test
    stage(hooks=(ReportHook(topic, title="Singing"),))(sing)
    maker.made("sing")
    maker.made("sing.later")
    maker.made("unknown")
    page = maker.page()
    assert "Heard at {'sing': 'Singing', 'sing.later': 'Singing'}" in page.sections["birdsong"]
    assert set(page.sections) == {"", "birdsong", "lineage", "stages"}


def sing(config: object, work: object) -> dict[str, float]:
    """A stage that is never executed."""
    return {}


def test_every_topic_has_a_rank_of_its_own() -> None:
    ranks = [topic.rank for topic in all_topics()]
    assert ranks == sorted(set(ranks)) and len(ranks) >= 10


def test_a_stage_goes_by_its_title_or_else_by_its_name() -> None:
    assert (title_of("pretrain"), title_of("encode"), title_of("of another program")) == ("Pretraining", "encode", "of another program")
    assert report_hook("of another program").topics == ()


def test_what_draws_no_chart_imports_no_library_for_it() -> None:
    program = "import sys, flows.cli.run, flows.cli.commands.lineage; print(sorted({'matplotlib', 'networkx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
