"""A trace is the same in another checkout, home, locale, hash seed and process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import trace_of
from tests.identity.traces.cases import read_all
from tests.identity.traces.conftest import run_jobs

NAMES = (
    "registries: a class that its base keeps",
    "registries: a function that DuckDB calls",
    "models: which config a tag chooses",
    "files: a file added to those that a pattern finds",
    "files: a template that a template includes",
    "imports: a module that was absent",
    "children: a program that starts a program",
    "children: a worker of a pool that is spawned",
    "classes: a method that a library's base looks for by a name put together",
    "lookups: a mixed-in class that begins to override a library's method",
)
CASES = [case for case in read_all() if case.id in NAMES]
HERE = {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent/one", "TZ": "UTC"}
ELSEWHERE = {"PYTHONHASHSEED": "2", "LC_ALL": "C", "HOME": "/nonexistent/two", "TZ": "Asia/Tokyo"}


def traces(folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The trace of each case, run in a folder and an environment of its own."""
    for name, value in environment.items():
        monkeypatch.setitem(os.environ, name, value)
    jobs: list[dict[str, Any]] = []
    for number, case in enumerate(CASES):
        root = folder / str(number) / "site"
        case.before.write(root)
        manifest = Source.snapshot(root, root.parent / "source").manifest
        jobs.append({"root": str(root), "scratch": str(root.parent), "marks": str(root.parent / "marks"), "snapshot": str(manifest)})
    told = run_jobs(jobs, folder)
    assert not [text for text in told if text.startswith("failed")]
    return [trace_of(Marks.read(Path(job["marks"])), Source.of(Path(job["root"]))).entries for job in jobs]


def test_a_trace_is_the_same_in_another_place_locale_and_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other" / "checkout").mkdir(parents=True)
    here = traces(tmp_path / "one", HERE, monkeypatch)
    elsewhere = traces(tmp_path / "other" / "checkout", ELSEWHERE, monkeypatch)
    assert len(CASES) == len(NAMES)
    differing = {case.id: set(a.items()) ^ set(b.items()) for case, a, b in zip(CASES, here, elsewhere, strict=True) if a != b}
    assert not differing
