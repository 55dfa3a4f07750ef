"""What printers and scanners leave on a page, removed or repaired where a recipe asks for it; and right text, which stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from tests.data.dedup.books import texts_of, write

OFF = {
    name: False
    for name in (
        "encoding", "characters", "quotes", "boilerplate", "corrupted", "repeated_pages", "page_numbers", "contents", "running_heads",
        "hyphenation", "unwrap", "ocr",
    )
}  # fmt: skip
GOOGLE = """This is a digital copy of a book that was preserved for generations on library shelves before it was carefully scanned
by Google as part of a project to make the world's books discoverable online.

Usage guidelines

Google is proud to partner with libraries to digitize public domain materials.

About Google Book Search

You can search through the full text of this book on the web
at http://books.google.com/
"""
FADED = """* A Distributed Proofreaders Canada eBook *

This eBook is made available at no cost and with very few
restrictions.

Title: The Mill

Author: A. Miller

Faded Page eBook #20130101

This eBook was produced by: A. Typist
& the online Distributed Proofreaders Canada team
"""
ARCHIVE = """Digitized by the Internet Archive
in 2008 with funding from
Microsoft Corporation

http://www.archive.org/details/oldmill00mill
"""
HATHI = """Generated on 2011-05-03 10:12 GMT / http://hdl.handle.net/2027/uc1.b000
Public Domain, Google-digitized / http://www.hathitrust.org/access_use#pd-google
Original from
Digitized by VjOOQIC
"""
RIGHT = """He paid 50l. and 4s. 6d. for it in 1805, in quarto (4o), sheet I2.

Act III, Scene 1. The 12th of May; 10 o'clock; H2O; No. 1; I. 5. 3.

It was digitized by hand in 2008 with funding from the town.

Original from first to last, Google was then a word of no meaning.

A mix of civil and vivid things: i, v and x.
"""


def cleaned(folder: Path, text: str, **rules: Any) -> str:
    """Return a text cleaned by these rules alone."""
    return all_cleaned(folder, {"a": text}, **rules)["a"]


def all_cleaned(folder: Path, texts: dict[str, str], **rules: Any) -> dict[str, str]:
    """Return texts by name, each cleaned by these rules alone."""
    config = CleanConfig.model_validate({"minimum_characters": 1, "dashes": "keep", **OFF, **rules})
    documents = write(folder / "in", texts)
    clean(documents, folder / "out", config, threads=1, memory="500MB", scratch=folder / "scratch")
    return texts_of(folder / "out")


def test_stamps_and_notices_of_scanners_go_and_the_text_between_them_stays(tmp_path: Path) -> None:
    notices = {"first": GOOGLE, "second": FADED, "third": ARCHIVE, "fourth": HATHI}
    text = "\n".join(f"{notice}\nThe {name} chapter tells of the mill.\n" for name, notice in notices.items())
    expected = "\n\n".join(f"The {name} chapter tells of the mill." for name in notices)
    assert cleaned(tmp_path, f"{text}\n[The end of The Mill by A. Miller]\n", stamps=True) == expected


def test_the_long_s_and_letters_in_numbers_are_repaired(tmp_path: Path) -> None:
    text = "In l9l4 and 18O5, on the l2th, he paſt 1,OOO ſheep, 1OO geese (I8I5) and 3l."
    right = "In 1914 and 1805, on the 12th, he past 1,000 sheep, 100 geese (1815) and 3l."
    assert cleaned(tmp_path, text, long_s=True, digits=True) == right


def test_right_text_stays_as_it_is(tmp_path: Path) -> None:
    assert cleaned(tmp_path, RIGHT, stamps=True, long_s=True, digits=True, page_numbers=True, roman_numbers=True) == RIGHT.strip()


@pytest.mark.parametrize("set_off", ["{}", "[{}]", "- {} -"])
def test_pages_of_a_preface_are_numbered_in_roman_numerals_if_the_recipe_says_so(tmp_path: Path, set_off: str) -> None:
    numerals = ["v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]
    pages = [
        [f"on day {chr(97 + page)}{chr(97 + k)} the miller saw the river rise and wrote it down in his book" for k in range(20)]
        for page in range(len(numerals))
    ]
    book = "\n".join("\n".join([*lines, "", set_off.format(numeral), ""]) for lines, numeral in zip(pages, numerals, strict=True))
    kept = cleaned(tmp_path / "on", book, page_numbers=True, roman_numbers=True)
    assert kept.split() == [word for lines in pages for line in lines for word in line.split()]
    assert cleaned(tmp_path / "off", book, page_numbers=True).split() == book.split()
