"""The processes that a launcher starts: watched, stopped at a checkpoint, and never left behind.

Guarantee: when `WorkerProcesses` is closed, for any reason, none of its processes is alive on this machine. Local processes ask the
kernel to die with the thread that started them, so a kill -9 of the launcher takes them along. Those on other machines hold the stdin that
ssh or srun carries to them: a line on it asks them to stop at a checkpoint; its end, which comes whenever the launcher is gone,
ends them at once. If the network is gone as well, they fail in their next exchange, after `meet_seconds`.
Reports of failing processes come through a named pipe, so they arrive even when the disk is full; from other machines, in their output.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from model.training.launch.commands import Command
from model.training.launch.lifeline import REPORT_START
from model.training.telemetry.progress import LineReader

GRACE_SECONDS = 20.0  # for workers to save a checkpoint and end
REMOTE_SECONDS = 5.0  # for the end of stdin to reach other machines and take effect
# What an outer launcher has set concerns its own processes.
OUTER = ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


class WorkerProcesses:
    """Starts commands; a context manager. Their output goes to files in `directory`."""

    def __init__(self, commands: Sequence[Command], directory: Path) -> None:
        self._commands = list(commands)
        self._logs = [directory / f"{command.name.replace(' ', '-')}.log" for command in commands]
        self._outputs = [LineReader(log) for log in self._logs]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pipe_folder = Path(tempfile.mkdtemp(prefix="folio-launch-"))
        pipe = self._pipe_folder / "reports"
        os.mkfifo(pipe)
        self._reports = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        inherited = {name: value for name, value in os.environ.items() if name not in OUTER and not name.startswith("TORCHELASTIC_")}
        ours = {"FOLIO_LAUNCHER": str(os.getpid()), "FOLIO_REPORTS": str(pipe)}
        try:
            for command, log in zip(commands, self._logs, strict=True):
                with log.open("wb") as stream:
                    process = subprocess.Popen(
                        command.words,
                        env={**inherited, **ours, **command.environment},
                        stdin=subprocess.PIPE if command.remote else subprocess.DEVNULL,
                        stdout=stream,
                        stderr=stream,
                        start_new_session=True,
                    )
                self._processes.append(process)
        except BaseException:
            self.kill()
            self._close_pipe()
            raise

    def __enter__(self) -> WorkerProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self._close_pipe()

    @property
    def commands(self) -> Sequence[Command]:
        """The processes that were started."""
        return self._commands

    def codes(self) -> list[int | None]:
        """The exit code of each process; None while it runs."""
        return [process.poll() for process in self._processes]

    def stop(self) -> None:
        """Ask running workers to stop at a checkpoint, wait for them, then kill what is left."""
        try:
            for process in self._processes:
                if process.poll() is not None:
                    continue
                if process.stdin is None:
                    # torchrun passes the signal on to its workers.
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
        """End what is left at once: the processes, their groups, and the workers of torchrun, which have groups of their own."""
        remote = [process for process in self._processes if process.stdin is not None]
        for process in remote:
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # chosen above
        deadline = time.monotonic() + REMOTE_SECONDS
        while any(process.poll() is None for process in remote) and time.monotonic() < deadline:
            time.sleep(0.05)
        descendants: list[psutil.Process] = []
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                descendants += psutil.Process(process.pid).children(recursive=True)
        for process in self._processes:
            with suppress(ProcessLookupError):  # the whole group is gone, as wanted
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for descendant in descendants:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
        psutil.wait_procs(descendants, timeout=REMOTE_SECONDS)

    def reports(self) -> list[dict[str, Any]]:
        """Return what failing processes have reported since the last call, oldest first."""
        lines: list[bytes] = []
        with suppress(BlockingIOError):
            lines += os.read(self._reports, 1 << 16).splitlines()
        for command, output in zip(self._commands, self._outputs, strict=True):
            if command.remote:
                lines += [line[line.index(REPORT_START) :] for line in output.new() if REPORT_START in line]
        return [json.loads(line) for line in lines]

    def log(self, index: int) -> Path:
        """The log file of a process's output."""
        return self._logs[index]

    def _close_pipe(self) -> None:
        os.close(self._reports)
        shutil.rmtree(self._pipe_folder, ignore_errors=True)
