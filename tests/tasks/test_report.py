"""The report is written whole or not at all, at the end of a run, and announced in Prefect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.report import _report, report, write_page
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.run import RunOptions, use_run
from tests.tasks.reporting.example_run import (
    AUDIT,
    FAILED,
    FUNNEL,
    RunMaker,
)


@pytest.fixture
def maker(home: Path) -> RunMaker:
    """An empty run in a home of its own."""
    return RunMaker(home)


def test_a_missing_file_is_named_with_what_to_do_and_the_old_page_is_kept(maker: RunMaker) -> None:
    made = maker.made("audit", {"funnel.json": FUNNEL}, metrics=AUDIT)
    page = write_page(maker.run, RunSummary.of(maker.run))
    before = page.read_text()
    (maker.run.store.local(made) / "funnel.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{made.name} has no funnel.json.*--refresh audit"):
        write_page(maker.run, RunSummary.of(maker.run))
    assert page.read_text() == before
    assert [path.name for path in page.parent.iterdir()] == ["trial.html"]


def test_a_plan_writes_no_page(maker: RunMaker, home: Path) -> None:
    maker.made("ingest")
    maker.run.options = RunOptions(planning=True)
    with use_run(maker.run):
        report()
    assert not (home / "reports").exists()


def test_the_report_keeps_its_drawings_in_the_home(maker: RunMaker, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[str] = []
    monkeypatch.setattr("tasks.report.create_markdown_artifact", lambda key, markdown, description: announced.append(key))
    maker.made("ingest")
    with use_run(maker.run):
        _report.fn()
    assert announced == ["report-trial", "lineage-trial"] and (home / "reports" / "trial.html").is_file()
    assert [path.suffix for path in (home / "cache" / "drawings").iterdir()] == [".drawing"]


@pytest.mark.slow
def test_the_report_is_in_the_home_and_announced_in_prefect(maker: RunMaker, home: Path, prefect: None) -> None:
    from prefect import flow
    from prefect.artifacts import Artifact as PrefectArtifact

    maker.run.name = "four_books"
    maker.gate("base", FAILED)

    @flow(name="a run")
    def running() -> None:
        with use_run(maker.run):
            report()

    running()
    assert "four_books" in (home / "reports" / "four_books.html").read_text()
    lineage = PrefectArtifact.get("lineage-four-books")
    assert lineage is not None and "gate/trial-base" in str(lineage.data)
    announced = PrefectArtifact.get("report-four-books")
    assert announced is not None and "four\\_books: failed" in str(announced.data)
