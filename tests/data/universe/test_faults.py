"""The books with faults: deterministic, and every fault is recorded."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.universe.config import UniverseSource
from data.universe.pages import break_word, curl_quotes, mojibake
from data.universe.write import truth_table, write_universe

ROOT = Path(__file__).resolve().parents[3]
KINDS = {
    "boilerplate", "corrupted_block", "cp1252", "curly_quote", "duplicate_page", "hard_wrap", "hyphenation", "misread",
    "mojibake", "page_number", "running_head",
}  # fmt: skip


def digests(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_another_process_with_another_hash_seed_writes_the_same_bytes(universe: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from data.universe.write import write_universe; "
        "from data.universe.config import UniverseSource; write_universe(Path(sys.argv[1]), UniverseSource())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "99", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT, env=environment)
    assert digests(tmp_path) == digests(universe)


def test_another_seed_writes_another_world(universe: Path, tmp_path: Path) -> None:
    write_universe(tmp_path, UniverseSource(seed=8))
    assert (tmp_path / "world.json").read_bytes() != (universe / "world.json").read_bytes()


def test_every_kind_of_fault_is_injected(universe: Path) -> None:
    assert {row["kind"] for row in truth_table(universe / "truth", "faults")} == KINDS


def test_what_was_injected_is_in_the_file_and_what_it_replaced_in_the_truth(
    universe: Path, clean: dict[str, str], dirty: dict[str, str]
) -> None:
    words = {path: text.split() for path, text in clean.items()}
    bare = {path: "".join(text.split()) for path, text in dirty.items()}
    for row in truth_table(universe / "truth", "faults"):
        if row["kind"] == "hyphenation":
            # A page may end between the two halves.
            assert row["injected"].split("\n")[0] in dirty[row["path"]]
        elif row["kind"] == "corrupted_block":
            assert all(line in dirty[row["path"]] for line in row["injected"].split("\n"))
        elif row["kind"] not in ("hard_wrap", "misread", "curly_quote"):
            assert "".join(row["injected"].split()) in bare[row["path"]], row
        if row["original"]:
            assert " ".join(words[row["path"]][row["start"] : row["end"]]) == row["original"], row
        assert 0 <= row["start"] <= row["end"] <= len(words[row["path"]])


def test_undoing_every_fault_gives_the_clean_text_back(universe: Path, clean: dict[str, str], dirty: dict[str, str]) -> None:
    """Every change to a book is in the truth: words that no fault covers are in the file, in order."""
    faults: dict[str, set[int]] = {}
    for row in truth_table(universe / "truth", "faults"):
        if row["kind"] != "hard_wrap":
            faults.setdefault(row["path"], set()).update(range(row["start"], row["end"]))
    for path, text in clean.items():
        found = iter(dirty[path].split())
        for at, word in enumerate(text.split()):
            if at not in faults.get(path, set()):
                assert word in found, (path, at, word)


def test_copies_repeat_the_bytes_and_editions_only_most_of_the_words(universe: Path, clean: dict[str, str]) -> None:
    rows = truth_table(universe / "truth", "duplicates")
    assert sorted(row["kind"] for row in rows) == ["exact"] * 6 + ["near"] * 6
    for row in rows:
        same = (universe / row["path"]).read_bytes() == (universe / row["original"]).read_bytes()
        assert same == (row["kind"] == "exact")
        if row["kind"] == "near":
            one, two = clean[row["path"]].split("\n\n")[3:], clean[row["original"]].split("\n\n")[3:]
            pairs = [(a, b) for p, q in zip(one, two, strict=True) for a, b in zip(p.split(), q.split(), strict=True)]
            assert 0.005 < sum(a != b for a, b in pairs) / len(pairs) < 0.06


def test_a_clean_universe_has_no_fault(tmp_path: Path) -> None:
    write_universe(tmp_path, UniverseSource(books=12, dirty=False))
    assert truth_table(tmp_path / "truth", "faults") == []
    assert all(
        (tmp_path / row["path"]).read_text(encoding="utf-8") == row["text"] + "\n" for row in truth_table(tmp_path / "truth", "clean")
    )


def test_a_folder_that_holds_books_is_refused(tmp_path: Path) -> None:
    write_universe(tmp_path, UniverseSource(books=4, exact_copies=0, near_editions=0))
    with pytest.raises(FileExistsError, match="empty directory"):
        write_universe(tmp_path, UniverseSource(books=4))


@given(st.text())
def test_mojibake_can_be_undone(word: str) -> None:
    raw = bytearray()
    for letter in mojibake(word):
        raw += bytes([ord(letter)]) if ord(letter) < 256 else letter.encode("cp1252")
    assert raw.decode("utf-8") == word


@given(st.from_regex(r"[a-z]{1,12}[.,]?", fullmatch=True), st.integers(0, 20))
def test_a_broken_word_fits_its_line(word: str, room: int) -> None:
    cut = break_word(word, room)
    assert cut == 0 or (2 <= cut < len(word) - 1 and cut + 1 <= room)


def test_quotation_marks_curl_by_their_side() -> None:
    assert curl_quotes('"Gladly."') == "\u201cGladly.\u201d" and curl_quotes("mother's") == "mother\u2019s"
