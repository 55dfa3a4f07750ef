"""`folio report`: the head of a run's page on a terminal of 80 columns, its page in a browser, and answers to names of no run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.running import runs_table
from flows.cli.views.report import show_report
from tasks.reporting.page import write_page
from tasks.reporting.summary import RunSummary
from tasks.stage.store.journal import Journal, PositionRecord, RunRecord, StageRecord
from tests.tasks.records import ran
from tests.tasks.reporting.example_run import FAILED, PASSED, RunMaker, whole_run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose runs are written by hand, and a terminal of 80 columns."""
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def recorded(maker: RunMaker, **more: object) -> RunRecord:
    """Write the run, and its page, as one that has ended."""
    places = {
        position: PositionRecord(stage=a.stage, key=a.key, address=a.address, digest=a.digest, location=a.location, action="executed")
        for position, a in maker.run.artifacts.items()
    }
    began = maker.run.started
    record = maker.run.record.model_copy(update={"status": "finished", "ended": began, "positions": places, **more})
    Journal(maker.run.store).write(record)
    if record.status != "stopped":
        write_page(maker.run.home, RunSummary.of(maker.run, record.error))
    return record


def test_a_report_says_in_80_columns_what_the_head_of_the_page_says(home: Path) -> None:
    maker = RunMaker(home)
    whole_run(maker)
    record = recorded(maker)
    text = show_report(record.id)
    assert text.startswith("trial: passed. Its gate passed.\n")
    for words in ("gate.base", "<= 3", "bits per byte", "1.5", "on test", "It ran because of: first run", record.id):
        assert words in text
    page = home / "reports" / "trial" / f"{record.id}.html"
    assert str(page) in text
    assert [line for line in text.splitlines() if len(line) > 80 and not line.startswith(("the page ", "   "))] == []  # paths stay whole


def test_a_verdict_and_its_bound_are_whole_on_the_narrowest_terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = RunMaker(home)
    maker.gate("base", PASSED, FAILED)
    recorded(maker, status="failed", error="gate.base: the gate failed, so the flow stops here.")
    for columns in ("40", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        text = show_report("")
        assert text.startswith("trial: failed.")
        for cell in (*PASSED, *FAILED):
            assert cell in " ".join(text.split())


@pytest.mark.parametrize("columns", ["40", "60", "80", "120"])
def test_a_run_s_id_is_whole_in_the_list_of_runs_however_narrow_the_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    maker = RunMaker(home)
    whole_run(maker)
    record = recorded(maker)
    monkeypatch.setenv("COLUMNS", columns)
    lines = runs_table([(record, "finished")]).splitlines()
    assert any(line.split()[0] == record.id for line in lines)
    assert max(map(len, lines)) <= int(columns)


def test_the_newest_run_that_has_ended_is_reported_unless_one_is_named(home: Path) -> None:
    maker = RunMaker(home)
    whole_run(maker)
    older = ran(maker.run.store, 1, *maker.run.artifacts.values(), recipe="older")
    newest = recorded(maker)
    assert f"run {newest.id}" in show_report("")
    assert f"run {older.id}" in show_report("older")
    assert f"run {newest.id}" in show_report(newest.id[:11])


def test_a_stage_that_failed_is_named_with_its_error(home: Path) -> None:
    maker = RunMaker(home)
    maker.made("ingest", metrics={"documents": 111.0})
    failed = StageRecord(status="failed", began=maker.run.started, key="k", error="out of memory")
    recorded(maker, status="failed", error="pretrain: out of memory", stages={"pretrain": failed})
    text = show_report("trial")
    assert text.startswith("trial: failed.") and "pretrain has no result" in " ".join(text.split()) and "pretrain: out of memory" in text


def test_results_that_are_no_longer_in_the_store_are_named(home: Path) -> None:
    maker = RunMaker(home)
    whole_run(maker)
    gone = PositionRecord(stage="index", key="k", address="nowhere", digest="d", location="index/trial-0", action="executed")
    record = recorded(maker)
    Journal(maker.run.store).write(record.model_copy(update={"positions": {**record.positions, "index": gone}}))
    assert "No longer in the store, so not shown: index." in show_report("trial")


def test_names_of_no_run_and_of_several_are_answered_with_those_there_are(home: Path) -> None:
    store = RunMaker(home).run.store
    with pytest.raises(LookupError, match=r"No run has ended in .*To see what goes on: .*status"):
        show_report("")
    for number in (1, 2):
        ran(store, number, recipe="toys")
    with pytest.raises(LookupError, match=r"no run 'toyz'; did you mean toys\?"):
        show_report("toyz")
    with pytest.raises(LookupError, match=r"no run 'zebra'; these recipes ran: toys\."):
        show_report("zebra")
    with pytest.raises(LookupError, match=r"'2020' begins the ids of 2 runs: 20200101T000002-000000, 20200101T000001-000000"):
        show_report("2020")


def test_the_page_is_opened_in_the_browser_that_the_environment_names(home: Path, tmp_path: Path) -> None:
    maker = RunMaker(home)
    whole_run(maker)
    record = recorded(maker)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "asked"}\n', encoding="utf-8")
    browser.chmod(0o755)
    command = [sys.executable, "-m", "flows.cli.app", "report", "--open"]
    environment = {**os.environ, "BROWSER": str(browser), "FOLIO_HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("trial: passed.")
    assert (tmp_path / "asked").read_text().strip() == (home / "reports" / "trial" / f"{record.id}.html").as_uri()


def test_a_stopped_run_has_a_report_and_no_page_to_open(home: Path) -> None:
    maker = RunMaker(home)
    maker.made("ingest", metrics={"documents": 111.0})
    recorded(maker, status="stopped", error="pretrain was stopped")
    assert show_report("trial").startswith("trial: stopped.")
    with pytest.raises(LookupError, match=r"has no page here: it was stopped, which leaves none"):
        show_report("trial", opened=True)
