"""A thousand malformed and hostile inputs: no crash, none lost, and each costs itself alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model.hardware.peak import resident_bytes
from tests.data.sources.hostile_inputs import HONEST, bombs, thousand
from tests.data.sources.reading import Outcome, read_all, write

SECONDS = 120


def _of(found: Outcome, name: str) -> list[str]:
    """Return the paths that belong to a file, among documents and quarantined."""
    return [path for path in (*found.texts, *found.reasons) if path == name or path.startswith((f"{name}#", f"{name}/"))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The thousand inputs and a few valid files among them, ingested in three shards."""
    folder = write(tmp_path_factory.mktemp("hostile"), thousand() | {f"honest.{kind}": content for kind, content in HONEST.items()})
    started = time.process_time()
    outcome = read_all(folder, tmp_path_factory.mktemp("out"), shards=3)
    assert time.process_time() - started < SECONDS
    return outcome


def test_there_are_a_thousand_and_none_is_lost(found: Outcome) -> None:
    inputs = thousand()
    assert len(inputs) >= 1000
    assert not [name for name in inputs if not _of(found, name)]


def test_reasons_fall_into_a_few_short_kinds(found: Outcome) -> None:
    kinds = {reason.partition(":")[0] for reason in found.reasons.values()}
    assert all(kind and len(kind) < 40 and kind == kind.strip() for kind in kinds)
    assert len(kinds) < 60, "few enough kinds to count by"


def test_nothing_is_read_of_what_is_hostile(found: Outcome) -> None:
    assert {name: _of(found, name) for name in bombs()} == {name: [name] for name in bombs()}
    assert not [name for name in bombs() if name not in found.reasons or "hostile" not in found.reasons[name]]


def test_no_outer_file_and_no_expanded_entity_gets_into_a_text(found: Outcome) -> None:
    assert not [path for path, text in found.texts.items() if "root:" in text or "lollol" in text]


def test_honest_files_among_them_are_read_whole(found: Outcome, tmp_path: Path) -> None:
    honest = {f"honest.{kind}": content for kind, content in HONEST.items()}
    alone = read_all(write(tmp_path / "shelf", honest), tmp_path / "out")
    assert {path: text for path, text in found.texts.items() if path.startswith("honest.")} == alone.texts
    # A web archive's requests hold no text, and are counted in a row of their own.
    assert {path.partition("#")[2]: reason for path, reason in alone.reasons.items()} == {"request": "not read: 2 of type request"}


def test_the_shards_agree_on_what_is_hostile(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", dict(list(thousand().items())[::12]))
    one, many = read_all(folder, tmp_path / "one"), read_all(folder, tmp_path / "many", shards=4)
    assert many == one


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes_is_read_in_every_format_that_has_lines(tmp_path: Path) -> None:
    line = b"word " * (20 << 20)
    files = {"a.txt": line, "b.jsonl": b'{"text": "' + line + b'"}\n{"text": "After."}\n', "c.csv": b"text\n" + line + b"\nAfter.\n"}
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = resident_bytes()
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert {path: len(text) for path, text in found.texts.items()} == {
        "a.txt": len(line), "b.jsonl#1": len(line), "b.jsonl#2": 6, "c.csv#1": len(line), "c.csv#2": 6,
    }  # fmt: skip
    few = read_all(tmp_path / "shelf", tmp_path / "few", paths=("*.jsonl", "*.csv"), shards=2)
    assert few.texts == {path: text for path, text in found.texts.items() if path != "a.txt"}
    assert resident_bytes(peak=True) - before < 4 << 30
