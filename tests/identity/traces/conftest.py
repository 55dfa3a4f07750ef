"""Every case that the session asks for, executed before and after its edit, plainly and recorded; and what its trace says of the edit."""

from __future__ import annotations

import compileall
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import differences, trace_of
from tests.identity.traces.cases import Case

ZYGOTE = Path(__file__).with_name("zygote.py")


@dataclass(frozen=True)
class Outcome:
    """What a program gave before and after its edit, run plainly and recorded; and why its artifact would not be reused."""

    before: str
    after: str
    recorded_before: str
    recorded_after: str
    causes: tuple[str, ...]


Outcomes = Callable[[Case], Outcome]


def run_jobs(jobs: list[dict[str, Any]], folder: Path) -> list[str]:
    """Run programs in fresh processes."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {"PYTHONHASHSEED": "0"} | os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, ZYGOTE, folder / "jobs.json", folder / "told.json"], check=True, env=environment)
    told: list[str] = json.loads((folder / "told.json").read_text())
    return told


def execute_all(cases: list[Case], folder: Path) -> dict[str, Outcome]:
    """Run each case before and after its edit, in the same place."""
    roots = [folder / str(number) / "site" for number in range(len(cases))]
    for case, root in zip(cases, roots, strict=True):
        case.before.write(root)
        # What lies compiled beside the source is of the text before the edit.
        compileall.compile_dir(root, quiet=2)
    traces, plain, recorded = [], {}, {}
    for when in ("before", "after"):
        manifests = [Source.snapshot(root, root.parent / f"source-{when}").manifest for root in roots]
        jobs: list[dict[str, Any]] = [{"root": str(root), "scratch": str(root.parent)} for root in roots]
        marked = [
            job | {"marks": str(root.parent / f"marks-{when}"), "snapshot": str(manifest)}
            for job, root, manifest in zip(jobs, roots, manifests, strict=True)
        ]
        told = run_jobs([*jobs, *marked], folder)
        plain[when], recorded[when] = told[: len(jobs)], told[len(jobs) :]
        if when == "before":
            for case, root in zip(cases, roots, strict=True):
                traces.append(causes_after_edit(case, root))
    return {
        case.id: Outcome(plain["before"][n], plain["after"][n], recorded["before"][n], recorded["after"][n], traces[n])
        for n, case in enumerate(cases)
    }


def causes_after_edit(case: Case, root: Path) -> tuple[str, ...]:
    """Edit a program, and say what of its trace that changes."""
    try:
        marks = Marks.read(root.parent / "marks-before")
        before = trace_of(marks, Source.of(root))
    except MissingMarks as error:
        case.after.write(root, case.before)
        return (f"no record: {error}",)
    case.after.write(root, case.before)
    return tuple(str(change) for change in differences(before, trace_of(marks, Source.of(root))))


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What came of a case; all that the session asks for run at once."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    asked = {
        call.params["case"].id: call.params["case"] for call in calls if call is not None and isinstance(call.params.get("case"), Case)
    }
    began, spent = time.monotonic(), _cpu()
    found = execute_all(list(asked.values()), tmp_path_factory.mktemp("traces"))
    request.config.stash[TOOK] = (len(asked), time.monotonic() - began, _cpu() - spent)
    return lambda case: found[case.id]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many edits of either kind were judged right, and what that took."""
    if (took := terminalreporter.config.stash.get(TOOK, None)) is None:
        return
    terminalreporter.section("traces")
    for name, what in (
        ("test_an_edit_that_changes_what", "must run again"),
        ("test_an_edit_that_changes_nothing", "must run nothing"),
        ("test_an_edit_of_what_ran_at_import", "nothing uses, of what ran at import, run again, as they"),
    ):
        passed, failed = (
            sum(f"::{name}" in report.nodeid for report in terminalreporter.stats.get(outcome, [])) for outcome in ("passed", "failed")
        )
        if passed + failed:
            terminalreporter.write_line(f"{passed} of {passed + failed} edits that {what} do")
    count, wall, cpu = took
    terminalreporter.write_line(f"{count} programs, each run 4 times in a process of its own: {wall:.0f} s, {cpu:.0f} s of CPU")


TOOK = pytest.StashKey[tuple[int, float, float]]()


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
