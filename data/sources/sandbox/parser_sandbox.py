"""Reads files in a process of their own, so that a parser's crash costs one file and an endless loop ends.

Guarantees: one process, started when first needed, reads file after file; when it dies of a file (a crash, or more processor time than
SECONDS and SECONDS_A_MEGABYTE allow) that file is Unreadable, and a new process reads the next one. A process that is killed from outside
is a RuntimeError, since that says nothing about the file. It survives no longer than this one.
Costs about 0.15 s to start, the import of a format's library, and a copy of the bytes a file.
Time is that of the processor, not of the clock, so that a busy machine quarantines nothing that an idle one reads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from data.sources.errors import Unreadable
from data.sources.readers.record import Broken, Options, Record
from data.sources.sandbox.ipc import receive, send

ROOT = Path(__file__).resolve().parents[3]
SECONDS, SECONDS_A_MEGABYTE = 60, 2
FAULTS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}


class Apart:
    """The reading process of a shard."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0

    def read(
        self, kind: str, content: bytes | Path, options: Options, shard: tuple[str, str, int, int] | None
    ) -> Iterator[Record | Broken]:
        """What a reader finds in bytes or in a file. `shard`: source, file, number and count, where the reader should give the shard's
        records alone. Raises Unreadable, also for what killed the process."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        seconds = SECONDS + SECONDS_A_MEGABYTE * (size >> 20)
        header = {"format": kind, "options": asdict(options), "shard": shard, "seconds": seconds}
        header["path"] = str(content) if isinstance(content, Path) else ""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        whole = False
        try:
            send(process.stdin, header, b"" if isinstance(content, Path) else content)
            while True:
                message = receive(process.stdout)
                if message is None:
                    raise self._death(kind, seconds)
                told, body = message
                if told["kind"] in ("end", "unreadable"):
                    whole = True
                    if told["kind"] == "end":
                        return
                    raise Unreadable(body.decode("utf-8"))
                yield _found(told, body.decode("utf-8"))
        except BrokenPipeError:
            raise self._death(kind, seconds) from None
        finally:
            if not whole:
                self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        continue  # it had died with a request half written

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
            # A session of its own: Ctrl-C is for the run, which then ends this process.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "data.sources.sandbox.sandbox_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
            self.started += 1
        return self._process

    def _death(self, kind: str, seconds: int) -> Exception:
        assert self._process is not None
        status = self._process.wait()
        if -status in FAULTS:
            return Unreadable(f"crashed its reader: {kind}: {signal.Signals(-status).name}")
        if -status == signal.SIGXCPU:
            return Unreadable(f"too slow: {kind}: more than {seconds} s of processor time")
        return RuntimeError(
            f"the reading process ended with status {status} while it read {kind}, killed from outside or short of memory; "
            "nothing was kept. Start the run again, with fewer threads if memory was short"
        )


def _found(told: dict[str, Any], text: str) -> Record | Broken:
    if told["kind"] == "broken":
        return Broken(text, told["name"])
    return Record(text, told["name"], told["title"], told["encoding"], told["address"])
