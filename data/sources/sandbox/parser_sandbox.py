"""Reads files in a separate process, so a parser that crashes or hangs costs only one file.

One process, started on first use, reads file after file. If a file kills it, by a crash or by more processor time than SECONDS and
SECONDS_A_MEGABYTE allow, that file is Unreadable and a new process reads the next. A process killed from outside raises RuntimeError, since
that says nothing about the file. The process never outlives its parent.

Costs about 0.15 s to start, the import of a format's library, and a copy of each file's bytes. The limit is on processor time, not on the
clock, so that a busy machine quarantines the same files as an idle one.
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
from data.sources.readers.record import BrokenRecord, EmbeddedFile, ReaderOptions, Record
from data.sources.sandbox.ipc import receive, send

ROOT = Path(__file__).resolve().parents[3]
SECONDS, SECONDS_A_MEGABYTE = 60, 2
CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}


class ParserSandbox:
    """The parser process of one shard. `started`: how many processes it took so far.

    `seconds`: processor time for a small file; None: SECONDS.
    """

    def __init__(self, seconds: int | None = None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._seconds = seconds
        self.started = 0

    def read(
        self, kind: str, content: bytes | Path, options: ReaderOptions, shard: tuple[str, str, int, int] | None
    ) -> Iterator[Record | BrokenRecord | EmbeddedFile]:
        """Yield what a reader finds in bytes or in a file. Raise Unreadable, also if the file killed the process.

        `shard`: source, file, number and count, if only that shard's records are wanted."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        seconds = (SECONDS if self._seconds is None else self._seconds) + SECONDS_A_MEGABYTE * (size >> 20)
        header = {"format": kind, "options": asdict(options), "shard": shard, "seconds": seconds}
        header["path"] = str(content) if isinstance(content, Path) else ""
        process = self._start()
        assert process.stdin is not None and process.stdout is not None
        finished = False
        try:
            send(process.stdin, header, b"" if isinstance(content, Path) else content)
            while True:
                message = receive(process.stdout)
                if message is None:
                    raise self._exit_error(kind, seconds)
                answer, body = message
                if answer["kind"] in ("end", "unreadable"):
                    finished = True
                    if answer["kind"] == "end":
                        return
                    raise Unreadable(body.decode("utf-8"))
                yield _result(answer, body)
        except BrokenPipeError:
            raise self._exit_error(kind, seconds) from None
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        continue  # it died while a request was being written

    def __enter__(self) -> ParserSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        """Return the running process, started if there is none."""
        if self._process is None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
            # In a session of its own Ctrl-C reaches only the run, which then ends this process.
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

    def _exit_error(self, kind: str, seconds: int) -> Exception:
        assert self._process is not None
        status = self._process.wait()
        if -status in CRASH_SIGNALS:
            return Unreadable(f"crashed its reader: {kind}: {signal.Signals(-status).name}")
        if -status == signal.SIGXCPU:
            return Unreadable(f"too slow: {kind}: more than {seconds} s of processor time")
        return RuntimeError(
            f"the parser process exited with status {status} while it read {kind}: it was killed from outside or ran short of memory; "
            "nothing was kept. Start the run again, with fewer threads if memory was short"
        )


def _result(answer: dict[str, Any], body: bytes) -> Record | BrokenRecord | EmbeddedFile:
    if answer["kind"] == "file":
        return EmbeddedFile(answer["format"], body, answer["name"])
    text = body.decode("utf-8")
    if answer["kind"] == "broken":
        return BrokenRecord(text, answer["name"])
    return Record(text, answer["name"], answer["title"], answer["encoding"], answer["url"])
