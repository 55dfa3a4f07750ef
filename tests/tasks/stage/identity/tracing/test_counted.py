"""What counts of the code is kept for frozen code, and is what following it again would find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import Trace, trace_of
from tasks.stage.system import atomic_files
from tests.tasks.stage.identity.tracing.programs import Program, repository
from tests.tasks.stage.identity.tracing.test_trace import EDITS, FILES

BESIDE = {"toy/near.py": "import loose.inner.far\n\ndef work():\n    return loose.inner.far.leave()\n"}


def program(folder: Path, files: dict[str, str]) -> Program:
    """A program in a folder of its own, with a home beside it."""
    (folder / "home").mkdir()
    return Program(repository(folder / "site", files), folder / "home")


def frozen(toy: Program) -> Source:
    """Freeze the program's repository."""
    return Source.snapshot(toy.root, toy.home / "source")


def kept(toy: Program) -> list[Path]:
    """The answers in the program's cache."""
    return sorted((toy.home / "cache").glob("*.counted"))


def cached(marks: Marks, toy: Program) -> Trace:
    """The trace by way of the cache."""
    return trace_of(marks, frozen(toy), cache=toy.home / "cache")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program that does a little of everything."""
    return program(tmp_path_factory.mktemp("kept"), FILES)


@pytest.fixture(scope="module")
def marks(toy: Program) -> Marks:
    """Its marks."""
    return toy.run()


@pytest.mark.parametrize(("path", "old", "new", "sentence"), EDITS, ids=[edit[3] or "nothing" for edit in EDITS])
def test_after_every_edit_the_cache_says_what_following_the_code_says(
    marks: Marks, toy: Program, path: str, old: str, new: str, sentence: str
) -> None:
    before, edited = cached(marks, toy), toy.root / path
    original = edited.read_text() if edited.exists() else None
    repository(toy.root, {path: (original or "").replace(old, new, 1)})
    try:
        after = cached(marks, toy)
        assert after == trace_of(marks, frozen(toy)) == cached(marks, toy)
        assert (after == before) is (not sentence)
    finally:
        edited.unlink() if original is None else edited.write_text(original)
    assert cached(marks, toy) == before


def test_a_kept_answer_is_used_and_a_damaged_one_is_found_again(marks: Marks, toy: Program) -> None:
    first = cached(marks, toy)
    (answer,) = kept(toy)
    written = answer.stat().st_ino
    assert cached(marks, toy) == first
    assert answer.stat().st_ino == written, "it was written again"
    answer.write_bytes(answer.read_bytes()[:-3] + b"...")
    assert cached(marks, toy) == first
    assert answer.stat().st_ino != written


def test_a_plan_that_writes_no_snapshot_and_a_run_use_one_answer(marks: Marks, toy: Program) -> None:
    held, snapshot = Source.frozen(toy.root), frozen(toy)
    assert held.state == snapshot.state and held.manifest is None
    first = trace_of(marks, held, cache=toy.home / "cache")
    (answer,) = kept(toy)
    written = answer.stat().st_ino
    assert trace_of(marks, snapshot, cache=toy.home / "cache") == first
    assert trace_of(marks, Source.frozen(toy.root), cache=toy.home / "cache") == first
    assert answer.stat().st_ino == written, "it was written again"


@pytest.mark.parametrize(("path", "old", "new", "sentence"), EDITS, ids=[edit[3] or "nothing" for edit in EDITS])
def test_after_every_edit_code_in_memory_is_traced_as_its_snapshot(
    marks: Marks, toy: Program, path: str, old: str, new: str, sentence: str
) -> None:
    edited = toy.root / path
    original = edited.read_text() if edited.exists() else None
    repository(toy.root, {path: (original or "").replace(old, new, 1)})
    try:
        held, snapshot = Source.frozen(toy.root), frozen(toy)
        assert held.state == snapshot.state
        assert trace_of(marks, held) == trace_of(marks, snapshot) == trace_of(marks, held, cache=toy.home / "cache")
    finally:
        edited.unlink() if original is None else edited.write_text(original)


def test_an_answer_of_another_analyser_is_not_believed(marks: Marks, toy: Program) -> None:
    first = cached(marks, toy)
    (answer,) = kept(toy)
    content = json.loads(atomic_files.kept(answer) or b"")
    # Whole by its checksum, but an answer to what other rules have asked.
    atomic_files.keep(answer, json.dumps(content | {"question": "0" * 64, "entries": {}}).encode())
    assert cached(marks, toy) == first
    assert json.loads(atomic_files.kept(answer) or b"") == content


def test_an_answer_for_other_marks_is_not_believed(marks: Marks, toy: Program) -> None:
    first, nothing = cached(marks, toy), cached(Marks(), toy)
    assert first != nothing
    one, other = kept(toy)
    one_answer, other_answer = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_answer)
    other.write_bytes(one_answer)
    assert cached(marks, toy) == first and cached(Marks(), toy) == nothing
    for path in (one, other):
        path.unlink()


def test_an_answer_that_rests_on_code_beside_the_snapshot_is_not_kept(tmp_path: Path) -> None:
    toy = program(tmp_path, {**BESIDE, "loose/inner/far.py": "def leave():\n    return 1\n"})
    marks = toy.run()
    assert "loose/inner/far.py" in marks.modules.values()
    first = cached(marks, toy)
    assert not kept(toy)
    (toy.root / "loose/inner/far.py").write_text("def leave():\n    return 2\n")
    assert cached(marks, toy) != first


def test_a_name_that_appears_beside_the_snapshot_is_seen(marks: Marks, toy: Program) -> None:
    before = cached(marks, toy)
    shadow = toy.root / "json"
    try:
        repository(toy.root, {"json/tool/data.txt": "", "json.txt": ""})
        assert cached(marks, toy) == trace_of(marks, frozen(toy))
        repository(toy.root, {"json/__init__.py": ""})
        assert cached(marks, toy) == trace_of(marks, frozen(toy))
    finally:
        (toy.root / "json.txt").unlink()
        for path in sorted(shadow.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        shadow.rmdir()
    assert cached(marks, toy) == before
