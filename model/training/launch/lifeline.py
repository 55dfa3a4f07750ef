"""Tie a process to its launcher: it dies with the launcher, and reports to it why it failed.

The launcher says how in the environment. FOLIO_LAUNCHER is its process id. FOLIO_LIFELINE=stdin means that the process runs on another
machine and holds the far end of a connection: a line on stdin asks it to stop at a checkpoint, the end of stdin ends it.
FOLIO_REPORTS is the named pipe that reports go to, or `stdout`.

Record workers whenever their launcher is recorded, so the code they run counts for the model.

A recording process has FOLIO_MARKS, the folder that all its processes mark in, and FOLIO_SNAPSHOT in its environment. Processes on this
machine inherit both; ssh, a job script or a person who starts torchrun by hand may not pass them on. So the launcher also writes them
next to the job file, and an unrecorded worker restarts with them. A worker without marks is reported by name.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

STOPPED = 75  # exit code of a process stopped by a signal; EX_TEMPFAIL of sysexits.h: try again later
PR_SET_PDEATHSIG = 1
REPORT_START = b'{"report": '


def die_with_launcher() -> None:
    """End this process when the launcher ends, even by kill -9: through stdin from another machine, else through the Linux kernel."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # A worker of torchrun is its child, and torchrun dies with the launcher.
        parent: str | None = str(os.getppid())
    elif os.environ.get("FOLIO_LIFELINE") == "stdin":
        threading.Thread(target=_follow_stdin, daemon=True).start()
        return
    else:
        parent = os.environ.get("FOLIO_LAUNCHER")
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(1)


def _follow_stdin() -> None:
    while os.read(0, 64):
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)


def report_error(error: BaseException, *, again: bool) -> None:
    """Tell the launcher why this worker fails; `again`: the same job may continue from its checkpoint once the cause is gone."""
    message = " ".join(f"{type(error).__name__}: {error}".split())[:1500]
    _send({"report": "error", "message": message, "again": again})


def report_exit(rank: int, code: int) -> None:
    """Tell the launcher which worker failed first, and its exit code; negative is the signal that killed it."""
    _send({"report": "exit", "rank": rank, "code": code})


def _send(fields: dict[str, object]) -> None:
    target = os.environ.get("FOLIO_REPORTS")
    if target is None:
        return
    # Lines shorter than PIPE_BUF are written whole, however many workers fail at once.
    line = (json.dumps(fields) + "\n").encode()
    if target == "stdout":
        os.write(sys.stdout.fileno(), line)
        return
    with suppress(OSError):  # the launcher is gone, so nobody reads
        pipe = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, line)
        finally:
            os.close(pipe)


VARIABLES = ("FOLIO_MARKS", "FOLIO_SNAPSHOT", "PYTHONPATH")


def expect_workers(directory: Path, module: str, workers: int) -> None:
    """Write next to the job file how its workers are recorded, and in the folder of marks which workers must leave marks."""
    if "FOLIO_MARKS" not in os.environ:
        return
    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    (directory / "recording.json").write_text(json.dumps(found), encoding="utf-8")
    expected = [{"program": module, "rank": rank, "name": f"worker {rank}"} for rank in range(workers)]
    (Path(os.environ["FOLIO_MARKS"]) / "workers.expected").write_text(json.dumps(expected), encoding="utf-8")


def require_recording(directory: Path, module: str, arguments: list[str]) -> None:
    """Start this program again, recorded, if its launcher is recorded and it is not."""
    found = directory / "recording.json"
    if "FOLIO_MARKS" not in os.environ and found.exists():
        environment = {**os.environ, **json.loads(found.read_text(encoding="utf-8"))}
        os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)
