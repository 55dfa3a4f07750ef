"""The report is written whole or not at all, at the end of a run, and announced in Prefect."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tasks.report import _report, report, reported
from tasks.reporting.headline import key_figures
from tasks.reporting.page import write_page
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_run
from tasks.stage.store.artifact import Cost
from tasks.stage.store.journal import PositionRecord
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
    page = write_page(maker.run.home, RunSummary.of(maker.run))
    before = page.read_text()
    (maker.run.store.local(made) / "funnel.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{made.name} has no funnel.json.*--refresh audit"):
        write_page(maker.run.home, RunSummary.of(maker.run))
    assert page.read_text() == before
    assert sorted(path.name for path in page.parent.glob("*.html")) == ["all-runs.html", "trial.html"]


def test_each_run_keeps_a_page_and_the_newest_of_a_recipe_a_name_that_stays(home: Path) -> None:
    first, second = RunMaker(home), RunMaker(home)
    second.run.record = second.run.record.model_copy(update={"id": "99991231T235959-abcdef"})
    first.made("ingest")
    second.made("ingest", reused=True)
    second.run.decisions.append(Decision("pretrain", "pretrain", "run", ("train.tokens: 5 -> 6", "input rows: a -> b"), "k"))
    newest = write_page(home, RunSummary.of(first.run))
    pages = [newest.read_text()]
    assert write_page(home, RunSummary.of(second.run, "The disk of /books has 0 MB free. Free space there.")) == newest
    pages.append(newest.read_text())
    assert [(home / "reports" / "trial" / f"{made.run.record.id}.html").read_text() for made in (first, second)] == pages
    assert "The disk of /books has 0 MB free." in pages[1]
    listed = (home / "reports" / "all-runs.html").read_text()
    assert listed.index("trial/99991231T235959-abcdef.html") < listed.index(f"trial/{first.run.record.id}.html")
    assert "train.tokens: 5 -&gt; 6" in listed and "input rows" not in listed


def test_a_run_that_was_stopped_is_listed_without_a_page(maker: RunMaker, home: Path) -> None:
    with use_run(maker.run), pytest.raises(KeyboardInterrupt), reported():
        raise KeyboardInterrupt
    listed = (home / "reports" / "all-runs.html").read_text()
    assert f'id="{maker.run.record.id}"' in listed and ">stopped<" in listed and "<a href" not in listed
    assert not (home / "reports" / "trial.html").exists()


def test_a_run_that_reused_everything_says_when_it_was_made_not_that_it_took_no_time(maker: RunMaker) -> None:
    maker.made("pretrain", {"history.jsonl": []}, reused=True, cost=Cost(wall_seconds=158, cpu_seconds=300))
    figure = key_figures(RunSummary.of(maker.run))[-1]
    assert (figure.label, figure.value, figure.remark) == ("this run", "reused", "made in 2:38 min of work, 5:00 min of CPU")


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
    assert sorted(announced) == ["lineage-trial", "report-trial"] and (home / "reports" / "trial.html").is_file()
    assert {path.suffix for path in (home / "cache" / "pages").iterdir()} == {".drawing"}


@pytest.mark.slow
def test_the_report_is_announced_in_prefect_and_names_the_run_by_what_changed(maker: RunMaker, home: Path, prefect: None) -> None:
    from prefect import flow
    from prefect.artifacts import Artifact as PrefectArtifact
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import Artifact as StoredArtifact
    from prefect.runtime import flow_run

    maker.run.name = "four_books"
    maker.gate("base", FAILED)
    at = {"stage": "pretrain", "key": "k", "address": "a", "digest": "d", "location": "pretrain/four_books-a", "action": "executed"}
    maker.run.positions["pretrain"] = PositionRecord.model_validate({**at, "causes": ("train.tokens: 5 -> 6", "input rows: a -> b")})

    @flow(name="a run")
    def running() -> None:
        maker.run.note(flow_run_id=str(flow_run.id))
        with use_run(maker.run):
            report()

    running()
    with get_client(sync_client=True) as client:
        shown = client.read_flow_run(UUID(maker.run.record.flow_run_id))
    assert (shown.name, set(shown.tags)) == ("four_books: pretrain.train.tokens", {"four_books", "pretrain.train.tokens"})
    assert "four_books" in (home / "reports" / "four_books.html").read_text()
    lineage = PrefectArtifact.get("lineage-four-books")
    assert isinstance(lineage, StoredArtifact) and "gate/trial-base" in str(lineage.data)
    announced = PrefectArtifact.get("report-four-books")
    assert isinstance(announced, StoredArtifact) and "four\\_books: failed" in str(announced.data)
