"""Worker processes: started in their own groups, watched, and never left behind.

Guarantee: when `WorkerProcesses` is closed, in whatever way, no process of its groups is alive. Those on this machine ask the kernel to die
with the thread that started them, so a kill -9 of the launcher takes them along. Workers on other machines hold on to the stdin that ssh or
srun carries to them: `stop` on it asks them to stop at a checkpoint, its end, which comes when the launcher is gone in whatever way, ends
them at once. If the network is gone, too, they fail in their next exchange, after `meet_seconds`.
What a failing worker has to say comes through a pipe, or from afar in its output, so it is heard when the disk is full, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from model.training.launch.launchers import Start

GRACE_SECONDS = 20.0
AFAR_SECONDS = 5.0  # for the end of stdin to arrive elsewhere and be obeyed
SAID = b'{"message": '  # how a worker's report begins


class WorkerProcesses:
    """The processes of a job, started as told; a context manager. Their output goes to `directory`."""

    def __init__(self, starts: Sequence[Start], directory: Path) -> None:
        self._starts = list(starts)
        self._logs = [directory / f"{start.name.replace(' ', '-')}.log" for start in starts]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reports, telling = os.pipe()
        os.set_blocking(self._reports, False)
        inherited = dict(os.environ)
        for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            inherited.pop(name, None)  # an outer launcher's places are not ours
        ours = {"FOLIO_LAUNCHER": str(os.getpid()), "FOLIO_REPORTS": str(telling)}
        try:
            for start, log in zip(starts, self._logs, strict=True):
                with log.open("wb") as stream:
                    process = subprocess.Popen(
                        start.command,
                        env={**inherited, **ours, **start.environment},
                        stdin=subprocess.PIPE if start.afar else subprocess.DEVNULL,
                        stdout=stream,
                        stderr=stream,
                        start_new_session=True,
                        pass_fds=(telling,) if start.direct else (),
                    )
                self._processes.append(process)
        except BaseException:
            self.kill()
            os.close(self._reports)
            raise
        finally:
            os.close(telling)

    def __enter__(self) -> WorkerProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            os.close(self._reports)

    @property
    def names(self) -> list[str]:
        """What each process is called when it is told of."""
        return [start.name for start in self._starts]

    def codes(self) -> list[int | None]:
        """Exit code of each process; None while it runs."""
        return [process.poll() for process in self._processes]

    def stop(self) -> None:
        """Ask running workers to stop at a checkpoint, wait a little, then kill what is left of their groups."""
        try:
            for process in self._processes:
                if process.poll() is not None:
                    continue
                if process.stdin is None:
                    os.killpg(process.pid, signal.SIGTERM)
                else:
                    with suppress(BrokenPipeError):  # it has ended meanwhile
                        process.stdin.write(b"stop\n")
                        process.stdin.flush()
            deadline = time.monotonic() + GRACE_SECONDS
            while None in self.codes() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            self.kill()

    def kill(self) -> None:
        """End what is left of the workers' groups at once."""
        afar = [process for process in self._processes if process.stdin is not None]
        for process in afar:
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # chosen above
        deadline = time.monotonic() + AFAR_SECONDS
        while any(process.poll() is None for process in afar) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in self._processes:
            with suppress(ProcessLookupError):  # the whole group is gone, which is what was wanted
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def reports(self) -> list[dict[str, Any]]:
        """What failing workers have said since this was last asked, the first to fail first; from afar: all that they have said."""
        lines: list[bytes] = []
        with suppress(BlockingIOError):
            lines += os.read(self._reports, 1 << 16).splitlines()
        for start, log in zip(self._starts, self._logs, strict=True):
            if not start.direct:
                lines += [line[line.index(SAID) :] for line in log.read_bytes().splitlines() if SAID in line]
        return [json.loads(line) for line in lines]

    def log(self, index: int) -> Path:
        """The file that a process's output goes to."""
        return self._logs[index]
