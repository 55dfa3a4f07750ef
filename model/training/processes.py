"""Worker processes: started in their own groups, watched, and never left behind.

Guarantee: when `Workers` is closed, in whatever way, no process of its groups is alive. Workers ask the kernel to die with
the thread that started them, so a kill -9 of the launcher takes them along. What a failing worker has to say comes through a
pipe, so it is heard when the disk is full, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

GRACE_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """`count` processes running `model.training.worker` on a job file; a context manager."""

    def __init__(self, job_file: Path, count: int, threads: int) -> None:
        self._errors = [job_file.with_name(f"worker-{rank}.log") for rank in range(count)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reports, telling = os.pipe()
        os.set_blocking(self._reports, False)
        environment = {
            **os.environ,
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "FOLIO_LAUNCHER": str(os.getpid()),
            "FOLIO_REPORTS": str(telling),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            **({"GLOO_SOCKET_IFNAME": "lo"} if count > 1 and sys.platform.startswith("linux") else {}),
            **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
        }
        # An outer launcher's meeting place is not ours.
        environment.pop("MASTER_ADDR", None)
        try:
            for rank, log in enumerate(self._errors):
                with log.open("wb") as stream:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "model.training.worker", str(job_file)],
                        env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                        stdin=subprocess.DEVNULL,
                        stdout=stream,
                        stderr=stream,
                        start_new_session=True,
                        pass_fds=(telling,),
                    )
                self._processes.append(process)
        except BaseException:
            self.kill()
            os.close(self._reports)
            raise
        finally:
            os.close(telling)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            os.close(self._reports)

    def codes(self) -> list[int | None]:
        """Exit code of each worker; None while it runs."""
        return [process.poll() for process in self._processes]

    def signal(self, number: int) -> None:
        """Pass a signal to every worker that still runs."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, number)

    def stop(self) -> None:
        """Ask running workers to stop at a checkpoint, wait a little, then kill what is left of their groups."""
        try:
            self.signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while None in self.codes() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            self.kill()

    def kill(self) -> None:
        """End what is left of the workers' groups at once."""
        for process in self._processes:
            with suppress(ProcessLookupError):  # the whole group is gone, which is what was wanted
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def reports(self) -> list[dict[str, Any]]:
        """What failing workers have said since this was last asked, the first to fail first."""
        try:
            told = os.read(self._reports, 1 << 16)
        except BlockingIOError:
            return []
        return [json.loads(line) for line in told.splitlines()]

    def log(self, rank: int) -> Path:
        """The file that a worker's output goes to."""
        return self._errors[rank]
