"""A file that crashes or stalls its parser costs itself alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from data.sources.errors import Unreadable
from data.sources.readers.record import ReaderOptions
from data.sources.sandbox import parser_sandbox
from data.sources.sandbox.parser_sandbox import ParserSandbox
from tests.data.sources.material import page, prose, table
from tests.data.sources.reading import write


@pytest.mark.parametrize("sent", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU])
def test_a_crash_of_the_parser_process_costs_the_file_it_was_reading(tmp_path: Path, sent: signal.Signals) -> None:
    path = write(tmp_path, {"a.parquet": table([{"text": prose(str(n)) * 50} for n in range(3000)])}) / "a.parquet"
    with ParserSandbox() as sandbox:
        reading = sandbox.read("parquet", path, ReaderOptions(), None)
        next(reading)
        assert sandbox._process is not None
        os.kill(sandbox._process.pid, sent)
        with pytest.raises(Unreadable, match=r"crashed its reader: parquet: SIG|too slow: parquet: more than \d+ s of processor time"):
            list(reading)
        (record,) = sandbox.read("html", page("next").encode(), ReaderOptions(), None)
        assert record[0] == prose("next") and sandbox.started == 2


def test_a_parser_process_killed_from_outside_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.parquet": table([{"text": prose(str(n)) * 50} for n in range(3000)])}) / "a.parquet"
    with ParserSandbox() as sandbox, pytest.raises(RuntimeError, match="killed from outside or ran short of memory; nothing was kept"):
        for number, _ in enumerate(sandbox.read("parquet", path, ReaderOptions(), None)):
            if number == 0:
                assert sandbox._process is not None
                os.kill(sandbox._process.pid, signal.SIGKILL)


def test_a_file_that_takes_too_long_is_quarantined_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_sandbox, "SECONDS", 1)
    monkeypatch.setattr(parser_sandbox, "SECONDS_A_MEGABYTE", 0)
    with ParserSandbox() as sandbox:
        with pytest.raises(Unreadable, match="too slow: md: more than 1 s of processor time"):
            list(sandbox.read("md", b"![[]()" * 1_000_000, ReaderOptions(), None))
        (record,) = sandbox.read("md", b"Next.", ReaderOptions(), None)
        assert record[0] == "Next."
