"""Cleaning by default leaves alone what is no prose, in any language, and still repairs the prose around it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.cleaning.shapes import blocks, is_formula
from tests.benchmarks.passages import KINDS, LANGUAGES, passages
from tests.benchmarks.untouched import is_kept, run
from tests.data.dedup.books import texts_of, write

COUNT = 3


def _cleaned(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    documents = write(folder / "in", texts)
    config = CleanConfig(minimum_characters=1)
    clean(documents, folder / "out", config, threads=1, memory="500MB", scratch=folder / "scratch")
    return texts_of(folder / "out")


def test_passages_of_every_kind_come_out_as_they_were_in_nine_languages(tmp_path: Path) -> None:
    drawn = {f"{language} {number:03}": (language, *one) for language in LANGUAGES for number, one in enumerate(passages(language, COUNT))}
    found = run({name: document for name, (_, _, _, document) in drawn.items()}, tmp_path / "work")
    edited = [name for name, (language, kind, passage, _) in drawn.items() if not is_kept(kind, language, passage, found[name])]
    assert not edited and len(drawn) == COUNT * len(KINDS) * len(LANGUAGES)


PROSE = (
    "The river ran past the mill and under the old stone bridge, where\n"
    "the children of the village came in summer to catch small fish\n"
    "with their hands, and where the miller's dog slept all day in the\n"
    "sun and woke only when a cart went over the stones above it."
)
PROGRAM = "def rise(level):\n    \"\"\"Say it -- ``so''.\"\"\"\n\n    if level['c1ay'] > 1:\n        return  level--1\n    return '&amp;'"


def test_a_program_among_paragraphs_keeps_every_space_and_the_paragraphs_are_joined(tmp_path: Path) -> None:
    found = _cleaned(
        tmp_path, {"a": f"{PROSE}\n\n{PROGRAM}\n\n{PROSE}", "b": f"Clay.\n\n```\n{PROSE}\n\n\n  c1ay\n```\n{PROSE}" + " The clay." * 9}
    )
    flat = PROSE.replace("\n", " ")
    assert found["a"] == f"{flat}\n\n{PROGRAM}\n\n{flat}"
    assert found["b"].startswith(f"Clay.\n\n```\n{PROSE}\n\n\n  c1ay\n```\n{flat}")
    assert _cleaned(tmp_path / "again", found) == found


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("Say:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nSo.", 2, 4),
        ("He said:\n\n$$\nx -- y\n$$\nand so on.", 2, 4),
        ("One.\n\n\\begin{align}\nx &= 1\n\\end{align}", 2, 4),
        ("One.\n\nrose    12  red\ntulip    3  blue\nlily   100  white", 2, 4),
        ("key: a\nmore:\n  - b\n  - c", 0, 3),
    ],
)
def test_a_block_is_found_among_lines_of_prose(text: str, first: int, last: int) -> None:
    assert blocks(text.split("\n")) == [(first, last)]


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "-- Yes, said he;\n-- No, said she;\n-- So be it.",
        "for the sake of it:\nif you must, then go;\nwhile he slept;",
        "~~~\n\nHe slept.\n\n~~~",
        "I. The Mill      3\nII. The River    10\nIII. Home       31",
        "(a) the mill;\n(b) the river;\n(c) home.",
        "He slept.  She woke.\nThe dog ran.  It was late.\nAll was well.  So it was.",
        "~!l*} #!#=+1 §^,§I_ !;!\\&#^ +_ }\n{. !+&.¤~ ¤\\ \\§+l>:^ / #{# %I %#§>^¤_\n&&§+% |§< +*/_= 1~>\n.=~}§ ;§#^+ }:1;=_ =#{<§ § {",
    ],
)
def test_prose_speech_ornaments_and_contents_are_no_blocks(text: str) -> None:
    assert not blocks(text.split("\n"))


def test_a_formula_is_of_terms_alone_and_symbol_soup_is_none() -> None:
    assert is_formula("a² + b² = c²") and is_formula("∀ε > 0 ∃δ > 0: |x − a| < δ ⇒ |f(x) − f(a)| < ε")
    assert not any(map(is_formula, ("~^|} {#* = <> %&", "I think that 2 + 2 = 4 in this world", "= = = =", "#@^%~|<>{}#@^%~|")))


def test_fences_that_nothing_closes_take_time_by_their_number() -> None:
    began = time.process_time()
    assert blocks(["~~~~ text", "~~~", ""] * 20_000) == []
    assert time.process_time() - began < 5


def test_words_broken_behind_a_hyphen_of_the_author_keep_it(tmp_path: Path) -> None:
    text = (
        "The two children of the village went down to the river with Jean-\n"
        "Paul, who had seen the fish, and who by now had himself made an X-\n"
        "ray of the hands of both, which he showed to all of them, in two-\n"
        "and threefold copies, when the dog of the miller woke up at last."
    )
    text = f"{PROSE}\n\n{text}\n\nOne or two."
    flat = re.sub(r"\s+", " ", _cleaned(tmp_path, {"a": text})["a"])
    assert "Jean-Paul, who" in flat and "an X-ray of" in flat and "two- and threefold" in flat


def test_a_notice_needs_more_than_how_its_line_begins(tmp_path: Path) -> None:
    flat = PROSE.replace("\n", " ")
    texts = {
        "author": f"Prepared by boiling the roots for an hour, it cures.\n\nPlease return to your seats, he said.\n\n{flat}",
        "scan": f"Digitized by the Lowland Public Library\n\n{flat}\n\nDate due\n\nProperty of the City Library",
        "alone": f"{flat}\n\nThe City Library",
    }
    found = _cleaned(tmp_path, texts)
    assert found == texts | {"scan": flat}


def test_numbers_of_stanzas_stay_where_one_refrain_stands_before_each(tmp_path: Path) -> None:
    # Chosen so that the refrain looks like a sentence that each number interrupts, at the distance of a page.
    drawn = [document for kind, _, document in passages("fr", 200) if kind == "refrain"]
    poem = next(document for document in drawn if document.startswith("1\n\nquinze son tenant"))
    assert _cleaned(tmp_path, {"a": poem})["a"] == poem


def test_a_paragraph_that_was_decoded_wrongly_is_joined_by_its_width_on_the_page(tmp_path: Path) -> None:
    said = "\u00e2\u20ac\u0153Gladly. The Peace of Stones, in the year 231, changed many\nlives.\u00e2\u20ac\x9d Thus the stranger replied."
    wide = PROSE.replace("where\n", "where all\n")
    found = _cleaned(tmp_path, {"a": f"{wide}\n\n{said}\n\n{wide}"})["a"]
    assert '"Gladly. The Peace of Stones, in the year 231, changed many lives." Thus the stranger replied.' in found
