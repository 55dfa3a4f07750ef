"""A thousand malformed and hostile inputs: no crash, none lost, and each costs itself alone."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from data.sources.errors import Unreadable
from data.sources.readers.record import ReaderOptions
from data.sources.sandbox import parser_sandbox as isolation
from data.sources.sandbox.parser_sandbox import ParserSandbox
from tests.data.sources.hostile import HONEST, bombs, thousand
from tests.data.sources.material import page, prose, table
from tests.data.sources.reading import Outcome, read_all, write

SECONDS = 120


def _of(found: Outcome, name: str) -> list[str]:
    """What in the ledger is of a file."""
    return [path for path in (*found.texts, *found.reasons) if path == name or path.startswith((f"{name}#", f"{name}/"))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All thousand, and a few honest files among them, read in three shards."""
    folder = write(tmp_path_factory.mktemp("hostile"), thousand() | {f"honest.{kind}": content for kind, content in HONEST.items()})
    started = time.process_time()
    outcome = read_all(folder, tmp_path_factory.mktemp("out"), shards=3)
    assert time.process_time() - started < SECONDS
    return outcome


def test_there_are_a_thousand_and_none_is_lost(found: Outcome) -> None:
    inputs = thousand()
    assert len(inputs) >= 1000
    assert not [name for name in inputs if not _of(found, name)]


def test_every_reason_says_what_it_is(found: Outcome) -> None:
    kinds = {reason.partition(":")[0] for reason in found.reasons.values()}
    assert all(kind and len(kind) < 40 and kind == kind.strip() for kind in kinds)
    assert len(kinds) < 60, "a few kinds that can be counted"


def test_nothing_is_read_of_what_is_hostile(found: Outcome) -> None:
    assert {name: _of(found, name) for name in bombs()} == {name: [name] for name in bombs()}
    assert not [name for name in bombs() if name not in found.reasons or "hostile" not in found.reasons[name]]


def test_no_outer_file_and_no_expanded_entity_gets_into_a_text(found: Outcome) -> None:
    assert not [path for path, text in found.texts.items() if "root:" in text or "lollol" in text]


def test_honest_files_among_them_are_read_whole(found: Outcome, tmp_path: Path) -> None:
    honest = {f"honest.{kind}": content for kind, content in HONEST.items()}
    alone = read_all(write(tmp_path / "shelf", honest), tmp_path / "out")
    assert {path: text for path, text in found.texts.items() if path.startswith("honest.")} == alone.texts
    assert not alone.reasons


def test_the_shards_agree_on_what_is_hostile(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", dict(list(thousand().items())[::12]))
    one, many = read_all(folder, tmp_path / "one"), read_all(folder, tmp_path / "many", shards=4)
    assert many == one


@pytest.mark.parametrize("sent", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU])
def test_a_crash_of_the_reading_process_costs_the_file_that_it_read(tmp_path: Path, sent: signal.Signals) -> None:
    path = write(tmp_path, {"a.parquet": table([{"text": prose(str(n)) * 50} for n in range(3000)])}) / "a.parquet"
    with ParserSandbox() as apart:
        reading = apart.read("parquet", path, ReaderOptions(), None)
        next(reading)
        assert apart._process is not None
        os.kill(apart._process.pid, sent)
        with pytest.raises(Unreadable, match=r"crashed its reader: parquet: SIG|too slow: parquet: more than \d+ s of processor time"):
            list(reading)
        (record,) = apart.read("html", page("next").encode(), ReaderOptions(), None)
        assert record[0] == prose("next") and apart.started == 2


def test_a_reading_process_that_is_killed_from_outside_is_no_file_s_fault(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.parquet": table([{"text": prose(str(n)) * 50} for n in range(3000)])}) / "a.parquet"
    with ParserSandbox() as apart, pytest.raises(RuntimeError, match="killed from outside or ran short of memory; nothing was kept"):
        for number, _ in enumerate(apart.read("parquet", path, ReaderOptions(), None)):
            if number == 0:
                assert apart._process is not None
                os.kill(apart._process.pid, signal.SIGKILL)


def test_a_file_that_takes_too_long_is_put_aside_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 1)
    monkeypatch.setattr(isolation, "SECONDS_A_MEGABYTE", 0)
    with ParserSandbox() as apart:
        with pytest.raises(Unreadable, match="too slow: md: more than 1 s of processor time"):
            list(apart.read("md", b"![[]()" * 1_000_000, ReaderOptions(), None))
        (record,) = apart.read("md", b"Next.", ReaderOptions(), None)
        assert record[0] == "Next."


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes_is_read_in_every_format_that_has_lines(tmp_path: Path) -> None:
    line = b"word " * (20 << 20)
    files = {"a.txt": line, "b.jsonl": b'{"text": "' + line + b'"}\n{"text": "After."}\n', "c.csv": b"text\n" + line + b"\nAfter.\n"}
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert {path: len(text) for path, text in found.texts.items()} == {
        "a.txt": len(line), "b.jsonl#1": len(line), "b.jsonl#2": 6, "c.csv#1": len(line), "c.csv#2": 6,
    }  # fmt: skip
    few = read_all(tmp_path / "shelf", tmp_path / "few", paths=("*.jsonl", "*.csv"), shards=2)
    assert few.texts == {path: text for path, text in found.texts.items() if path != "a.txt"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20
