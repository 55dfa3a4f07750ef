"""What each case gives before and after its edit, in processes of its own, and what its trace says of the edit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import differences, trace_of
from tests.identity.edits.case import Case, write
from tests.identity.lint import unseen

ZYGOTE = Path(__file__).parents[1] / "traces" / "zygote.py"
Verdict = Literal["seen", "refused", "missed", "alone", "rerun"]


@dataclass(frozen=True)
class Outcome:
    """What a program gave before its edit, plainly and recorded, and after it; why its artifact would not be reused.

    `failure`: what the trace itself raised, after which nothing could be planned: as bad as a change not seen.
    """

    case: Case
    before: str
    recorded: str
    after: str
    causes: tuple[str, ...]
    failure: str = ""

    @property
    def must_rerun(self) -> bool:
        """Whether the edit changes what the program gives: nobody says so, it was run."""
        return self.before != self.after

    @property
    def verdict(self) -> Verdict:
        """What the trace makes of the edit.

        A change that it can't see is refused where the lint forbids such code, or where such a program fails when it is recorded.
        """
        if self.failure:
            return "missed"
        if not self.must_rerun:
            return "rerun" if self.causes else "alone"
        if self.causes:
            return "seen"
        if self.recorded.startswith("raised") and self.recorded != self.before:
            return "refused"
        return "refused" if self.refusals else "missed"

    @property
    def refusals(self) -> list[str]:
        """What the lint says of the program."""
        texts = ((path, text) for path, text in self.case.before.items() if path.endswith(".py") and isinstance(text, str))
        return [f"{found.rule} {found.text}" for path, text in texts for found in unseen(path, text)]


def execute(cases: list[Case], folder: Path) -> list[Outcome]:
    """Run all cases: a program once as it is and once recorded, and once after each of its edits."""
    programs = list({id(case.before): case.before for case in cases}.values())
    roots = {id(program): folder / f"before-{number:03}" / "site" for number, program in enumerate(programs)}
    edited = [folder / f"edited-{number:03}" / "site" for number in range(len(cases))]
    for program in programs:
        write(program, roots[id(program)])
    for case, root in zip(cases, edited, strict=True):
        write(case.after, root)
    plain: list[dict[str, Any]] = [{"root": str(root), "scratch": str(root.parent)} for root in [*roots.values(), *edited]]
    recorded = [
        {
            "root": str(root),
            "scratch": str(root.parent),
            "marks": str(root.parent / "marks"),
            "snapshot": str(Source.snapshot(root, root.parent / "source").manifest),
        }
        for root in roots.values()
    ]
    told = run_jobs([*plain, *recorded], folder)
    count = len(programs)
    before = dict(zip(roots, told[:count], strict=True))
    marked = dict(zip(roots, told[count + len(cases) :], strict=True))
    return [
        Outcome(case, before[id(case.before)], marked[id(case.before)], after, *causes(case, roots[id(case.before)]))
        for case, after in zip(cases, told[count : count + len(cases)], strict=True)
    ]


def run_jobs(jobs: list[dict[str, Any]], folder: Path) -> list[str]:
    """Run programs in fresh processes; what they tell of their own place is the same for all."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {"PYTHONHASHSEED": "0"} | os.environ | {"OMP_NUM_THREADS": "1"}
    command: list[str | Path] = [sys.executable, ZYGOTE, folder / "jobs.json", folder / "told.json"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    told: list[str] = json.loads((folder / "told.json").read_text())
    return [text.replace(job["root"], "ROOT").replace(job["scratch"], "SCRATCH") for text, job in zip(told, jobs, strict=True)]


def causes(case: Case, root: Path) -> tuple[tuple[str, ...], str]:
    """Make the edit where the program ran, say what of its trace changes, and undo the edit; or say what the trace raised."""
    try:
        marks = Marks.read(root.parent / "marks")
        before = trace_of(marks, Source.of(root))
        write(case.after, root, case.before)
        return tuple(str(change) for change in differences(before, trace_of(marks, Source.of(root)))), ""
    except MissingMarks as error:
        return (f"no record: {error}",), ""
    except Exception as error:  # noqa: BLE001  # one edit that breaks the trace is told beside the others
        return (), f"{type(error).__name__}: {error}"
    finally:
        write(case.before, root, case.after)
