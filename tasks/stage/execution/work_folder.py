"""The work folder of one key's execution, and whether interrupted work there may be continued.

    .staging/<stage>-<key>/output    becomes the artifact
                           scratch   is deleted afterwards
                           resume    what an interrupted execution left to continue from, such as checkpoints
                           marks     what the execution has run and read so far
                           earlier   the marks of the executions that it continues

Interrupted work is continued only if the trace of all marks so far is the same on the source that is executed now. Otherwise it is set
aside in another folder, to be continued when that source comes back.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import ValidationError

from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.source import Source, SourceMissing
from tasks.stage.identity.tracing.trace import differences, trace_of
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.progress import log

RESUME, MARKS, EARLIER = "resume", "marks", "earlier.json"
ASIDE = "aside-"


class WorkFolder:
    """The folder at `base`, ready for an execution. `earlier`: marks of the executions that it continues; None if it begins anew."""

    def __init__(self, base: Path, position: str, traces: TraceChecker) -> None:
        self.base, self.earlier = base, None
        if _has_work(base):
            self.earlier, problem = _continued(base, traces)
            if problem:
                log(f"{position}: begins anew, since what was interrupted ran other code: {problem}")
                _move(base, _free(base))
        if not _has_work(base):
            self.earlier = _take_up(base, traces)
        for name in ("output", "scratch", MARKS):
            shutil.rmtree(base / name, ignore_errors=True)
            (base / name).mkdir()
        (base / RESUME).mkdir(exist_ok=True)
        if self.earlier is not None:
            write_atomically(base / EARLIER, self.earlier.model_dump_json().encode())

    def all_marks(self, marks: Marks) -> Marks:
        """Return the marks of an execution together with those of the ones that it continued."""
        return marks if self.earlier is None else self.earlier.union(marks)


def _has_work(base: Path) -> bool:
    return (base / RESUME).is_dir() and any((base / RESUME).iterdir())


def _continued(base: Path, traces: TraceChecker) -> tuple[Marks | None, str]:
    """Return the marks of all executions so far, and why they can't be continued; "" if they can."""
    try:
        marks = Marks.read(base / MARKS)
        if (base / EARLIER).exists():
            earlier = Marks.model_validate_json((base / EARLIER).read_bytes())
            if earlier.version != marks.version:
                raise MissingMarks(f"marks {earlier.version}, now {marks.version}")
            marks = earlier.union(marks)
        before = Source.opened(traces.manifest(marks.snapshot))
    except (MissingMarks, SourceMissing, ValidationError, OSError) as error:
        return None, f"what it ran can't be told ({error})"
    found = differences(trace_of(marks, before, cache=traces.cache), traces.of(marks))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return marks, f"{found[0]}{more}" if found else ""


def _take_up(base: Path, traces: TraceChecker) -> Marks | None:
    """Continue the work that was set aside on a source like this one, if there is any; return its marks."""
    for aside in sorted(base.glob(f"{ASIDE}*")):
        marks, problem = _continued(aside, traces)
        if not problem:
            for name in (RESUME, MARKS, EARLIER):
                _remove(base / name)
            _move(aside, base)
            _remove(aside)
            return marks
    for name in (RESUME, MARKS, EARLIER):
        _remove(base / name)
    return None


def _free(base: Path) -> Path:
    number = 1
    while (base / f"{ASIDE}{number}").exists():
        number += 1
    (base / f"{ASIDE}{number}").mkdir()
    return base / f"{ASIDE}{number}"


def _move(source: Path, target: Path) -> None:
    """Move the work, its resumable part last, so a kill in between leaves no such part without its marks."""
    for name in (EARLIER, MARKS, RESUME):
        if (source / name).exists():
            (source / name).replace(target / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
