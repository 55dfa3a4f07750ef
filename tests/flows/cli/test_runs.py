"""`folio runs`, `status`, `logs`, `stop` and `down`: what is said of a live run, and how it is ended, whatever its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import command_line
from tests.crash.test_ended_from_outside import Started


@pytest.fixture
def live(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """A run of another process in a store that is not its home's own; its home is that of the commands."""
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    started = Started(tmp_path, "", "sleep")
    yield started
    started.process.kill()
    started.process.communicate()


def folio(*words: str) -> Result:
    return CliRunner().invoke(command_line(), words)


def test_a_live_run_is_seen_followed_and_stopped_from_outside(live: Started) -> None:
    record = live.record()
    status = folio("status").output
    assert f"run {record.id}: toys, running" in status
    assert "learn: executing for 0:" in status
    (shown,) = json.loads(folio("status", record.id, "--json").output)["runs"]
    assert (shown["status"], shown["stages"]["learn"]["status"], shown["made"]) == ("running", "executing", 2)
    refused = folio("down")
    assert "1 run of this home is live" in str(refused.exception)
    assert record.id in str(refused.exception)
    stopped = folio("stop")
    assert stopped.exit_code == 0, stopped.output
    assert f"run {record.id}: stopped; learn was stopped" in stopped.output
    assert live.process.wait(10) == 143
    assert "no run is live" in folio("status").output
    (row,) = json.loads(folio("runs", "--json", "--store", str(live.store)).output)
    assert (row["id"], row["status"], row["made"], row["error"]) == (record.id, "stopped", 2, "learn was stopped")
    said = folio("logs", record.id, "--store", str(live.store)).output
    assert "count: done in" in said
    learned = folio("logs", record.id, "learn", "--store", str(live.store)).output.splitlines()
    assert any(line.endswith("Z learn: learning") for line in learned), "what a body prints is in the log"
    assert all("Z learn" in line for line in learned)
    assert "has no run 'nobody'" in str(folio("logs", "nobody").exception)


def test_draining_a_home_stops_its_runs_at_a_checkpoint_before_its_servers(live: Started) -> None:
    done = folio("down", "--drain")
    assert done.exit_code == 0, done.output
    assert live.process.wait(10) == 143
    assert live.record().status == "stopped"
    assert "nothing was running" in done.output


def test_a_run_that_is_killed_is_called_crashed_at_once(live: Started) -> None:
    live.process.kill()
    live.process.wait()
    (row,) = json.loads(folio("runs", "--json", "--store", str(live.store)).output)
    assert row["status"] == "crashed"
    assert "no run is live" in folio("status").output
