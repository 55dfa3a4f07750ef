"""Notes at a page's foot go with their marks where a recipe asks for it, and what only looks like one stays."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.data.cleaning.test_printed import all_cleaned, cleaned

WORDS = re.findall(r"\w+", "The miller saw a river rise over stones and wrote it down in his book before night came upon our valley")
ENDS = {"number": "{0}", "dashes": "- {0} -", "feed": "\f", "head": "THE OLD MILL", "head and number": "THE OLD MILL {0}\n{0}"}
MARKS = ["*", "†", "‡", "1", "12", "[1]", "[a]", "(2)", "³", "**"]


def _page(random: Random, lines: int = 24) -> list[str]:
    return [" ".join(random.choices(WORDS, k=11)) for _ in range(lines)]


def _book(mark: str, end: str, *, noted: bool = True) -> tuple[str, str]:
    """Return a book of eight pages, each with a note of one or two lines and a page's end, and the same book without notes."""
    random = Random(mark + end)
    with_notes, without = [], []
    for number in range(8):
        said = "Ibid." if number % 4 else f"See roll {'v' * number} of that year,"
        page = _page(random)
        without += [*page, end.format(number + 31)]
        if noted:
            page[7] = page[7].replace(" ", f"{mark} ", 1)
            page += [f"{mark} {said}", *([f"which hangs in hall {'x' * number}."] if number % 2 else [])]
        with_notes += [*page, end.format(number + 31)]
    return "\n".join(with_notes), "\n".join(without)


@pytest.mark.parametrize("mark", MARKS)
def test_foot_notes_and_their_marks_go_and_every_other_word_stays(mark: str, tmp_path: Path) -> None:
    books = {name: _book(mark, end) for name, end in ENDS.items()}
    found = all_cleaned(tmp_path / "noted", {name: noted for name, (noted, _) in books.items()}, notes="drop")
    assert found == all_cleaned(tmp_path / "plain", {name: plain for name, (_, plain) in books.items()})


def test_heads_and_numbers_are_found_behind_notes(tmp_path: Path) -> None:
    noted, plain = _book("*", "{0}\nTHE OLD MILL")
    pages = {"page_numbers": True, "running_heads": True}
    found = cleaned(tmp_path, noted, notes="drop", **pages)
    assert found == cleaned(tmp_path / "plain", plain, **pages)
    assert "MILL" not in found


def test_bracketed_notes_go_wherever_they_are(tmp_path: Path) -> None:
    text = (
        "The king[3] rode out [4].\n\n[Footnote 3: He had\nno horse.]\n\nThe queen stayed.\n\n[Note: a word of the editor's.]\n\nThey met."
    )
    assert cleaned(tmp_path, text, notes="drop") == "The king rode out [4].\n\nThe queen stayed.\n\nThey met."


@pytest.mark.parametrize("note", ["[Footnote 3: He had\nno horse.]", "[Footnote 3: He had\f\nno horse.]"])
def test_bracketed_notes_go_from_between_the_ends_of_pages(note: str, tmp_path: Path) -> None:
    text = f"The king[3] rode\n\f{note}\n\fout, and the queen\n\n[Note: his own.]\f\nstayed."
    found = cleaned(tmp_path, text, notes="drop", unwrap=True, page_numbers=True)
    assert " ".join(found.split()) == "The king rode out, and the queen stayed."


RIGHT = {
    "a list at a page's foot": "* one thing was bread\n* another was wine",
    "a numbered list": "1. He came to town.\n2. He left again.",
    "emphasis": "*That* was all that he said of it.",
    "speakers with numbers": "1 RUST. He is12 come.\n2 RUST. He is.\n1 RUST. Well then.\n2 RUST. Well.",
    "a verse": "12 And it came to pass in those days,",
    "stars between parts": "* * *",
}
ABOVE = ["he said *this* and no more", "in May 12 of them came, in June 1 alone", "Chapter 1. Of 2 mills", "as he said,2 and she"]


@pytest.mark.parametrize("name", RIGHT)
def test_what_only_looks_like_a_note_stays(name: str, tmp_path: Path) -> None:
    texts = {}
    for above in ABOVE:
        random = Random(name)
        pages = [[*_page(random), above, *_page(random, 3), RIGHT[name], str(number)] for number in range(40, 46)]
        texts[above] = "\n".join(line for page in pages for line in page)
    assert all_cleaned(tmp_path / "dropped", texts, notes="drop") == all_cleaned(tmp_path / "kept", texts)


def test_notes_stay_unless_a_recipe_drops_them(tmp_path: Path) -> None:
    noted, _ = _book("*", "{}")
    assert cleaned(tmp_path, noted).split() == noted.split()


@pytest.mark.parametrize(("mark", "end"), [("*", "{}"), ("12", "\f"), ("[a]", "THE OLD MILL {}")])
def test_notes_at_the_end_interrupt_no_text_and_follow_it_as_paragraphs(mark: str, end: str, tmp_path: Path) -> None:
    pages: dict[str, Any] = {"page_numbers": True, "running_heads": True, "unwrap": True}
    noted, plain = _book(mark, end)
    text, notes = _apart(cleaned(tmp_path, noted, notes="end", **pages), 8)
    assert text.replace(mark, "").split() == cleaned(tmp_path / "plain", plain, **pages).split()
    said = [f"See roll {'v' * number} of that year," if number % 4 == 0 else "Ibid." for number in range(8)]
    hung = [f" which hangs in hall {'x' * number}." if number % 2 else "" for number in range(8)]
    assert notes == [f"{mark} {first}{second}" for first, second in zip(said, hung, strict=True)]


def test_bracketed_notes_at_the_end_keep_their_marks_and_are_moved_once(tmp_path: Path) -> None:
    text = "The king[3] rode out.\n\n[Footnote 3: He had\nno horse.]\n\nThe queen stayed.\n\n[Note: a word of the editor's.]"
    whole = "The king[3] rode out.\n\nThe queen stayed.\n\n[Footnote 3: He had no horse.]\n\n[Note: a word of the editor's.]"
    assert cleaned(tmp_path, text, notes="end", unwrap=True) == whole
    assert cleaned(tmp_path / "again", whole, notes="end", unwrap=True) == whole


def test_what_moves_is_in_the_ledger_as_changed_by_nothing(tmp_path: Path) -> None:
    noted, _ = _book("*", "{}")
    cleaned(tmp_path, noted, notes="end")
    (row,) = [row for row in pq.read_table(tmp_path / "out" / "ledger.parquet").to_pylist() if row["rule"] == "notes moved"]
    assert row["action"] == "changed" and row["net"] == 0 and row["characters"] > 0
    assert not (tmp_path / "out" / "removed" / "notes_moved.parquet").exists()


def _apart(text: str, notes: int) -> tuple[str, list[str]]:
    """Return a text without its last paragraphs, and these."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(paragraphs[:-notes]), paragraphs[-notes:]
