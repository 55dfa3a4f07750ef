"""Training workers mark what they run wherever they start, and one that does not is missed by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.training.launch.launch import launch
from model.training.launch.lifeline import expect_workers
from tasks.project import FOLIO
from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.recorder import BOOTSTRAP
from tasks.stage.identity.tracing.source import Source
from tests.model.jobs import JobMaker, free_port

SSH = """#!/bin/sh
# ssh [-o option]... host command; of the environment nothing of the recorder's comes along
while [ "$1" = -o ]; do shift 2; done
exec env -u FOLIO_MARKS -u FOLIO_SNAPSHOT -u PYTHONPATH sh -c "$2"
"""


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of marks of a process that is recorded, as this one pretends to be."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv("FOLIO_MARKS", str(folder))
    monkeypatch.setenv("FOLIO_SNAPSHOT", str(Source.snapshot(FOLIO, tmp_path / "source").manifest))
    monkeypatch.setenv("PYTHONPATH", str(BOOTSTRAP))
    return folder


@pytest.mark.slow
def test_workers_on_other_machines_are_recorded_though_ssh_passes_no_environment_on(
    make_job: JobMaker, marks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    hostfile = tmp_path / "hostfile"
    hostfile.write_text("127.0.0.1\nlocalhost\n")
    launch(make_job("far", {"workers": 2, "nodes": 2, "launcher": "hostfile", "hostfile": str(hostfile), "port": free_port()}))
    found = Marks.read(marks)
    assert found.processes == 2
    assert "model/training/trainer.py:Trainer.train" in found.entered
    assert "model/training/launch/worker.py" in found.programs
    for log in marks.glob("*.log"):
        if '["rank", "1"]' in log.read_text():
            log.unlink()
    with pytest.raises(MissingMarks, match=r"worker 1 \(model.training.launch.worker\) has left no marks in"):
        Marks.read(marks)


@pytest.mark.slow
def test_workers_of_torchrun_are_recorded_on_this_machine(make_job: JobMaker, marks: Path) -> None:
    launch(make_job("near", {"workers": 2}))
    found = Marks.read(marks)
    assert found.processes == 3
    assert {"model/training/launch/torchrun.py", "model/training/launch/worker.py"} <= set(found.programs)
    assert "model/training/trainer.py:Trainer.train" in found.entered


def test_nothing_is_expected_of_workers_whose_launcher_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_MARKS", "")
    monkeypatch.delenv("FOLIO_MARKS")
    expect_workers(tmp_path, "model.training.launch.worker", 2)
    assert not list(tmp_path.iterdir())
