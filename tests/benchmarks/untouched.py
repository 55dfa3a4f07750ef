"""What cleaning leaves alone and what it repairs, in nine languages: python -m tests.benchmarks.untouched [--passages 200] [--show 3]

**False edits**: passages of thirteen kinds (`passages`), alone in a document or among paragraphs of prose, after cleaning by default. A
passage is edited if its lines are not in the document as they were: of code, formulas and tables with every space, of others without those
at a line's ends, a hyphen at a line's end with or without its break. **Recall**: faults that are planted in prose, a kind at a time, and
repaired; beside it, words of the prose that are gone. Exit code 1 if a passage is edited.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow.parquet as pq

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.documents.rows import DOCUMENTS, write_rows
from data.universe.pages import break_word, curl_quotes, mojibake
from tests.benchmarks.passages import EXACT, KINDS, LANGUAGES, dump, examples, joined, paragraph, passages, wrap

HEADS = (
    "*** START OF THE PROJECT GUTENBERG EBOOK {0} ***",
    "Produced by Anna Keller and the Online Distributed Proofreading Team at https://www.pgdp.net",
    "Digitized by Google",
    "Scanned by the Lowland Public Library",
    "This eBook is for the use of anyone anywhere at no cost and with almost no restrictions.",
    "Transcribed from the 1899 edition by Peter Brook, proofread at http://www.gutenberg.org",
)
FEET = (
    "*** END OF THE PROJECT GUTENBERG EBOOK {0} ***",
    "End of the Project Gutenberg EBook of {0}",
    "This book must be returned on or before the last date stamped below.",
    "Digitized by the Internet Archive in 2009",
    "Property of the City Library",
)


class Damaged(NamedTuple):
    """Prose with faults of one kind: the prose, what became of it, and how many faults of a cleaned text are left."""

    prose: str
    printed: str
    faults: int
    left: Callable[[str], int]


def run(texts: dict[str, str], work: Path) -> dict[str, str]:
    """Return the texts after cleaning by default, as one shard."""
    work.mkdir(parents=True)
    empty = dict.fromkeys(DOCUMENTS.names, "") | {"metadata": "{}", "synthetic": False}
    write_rows(work / "in.parquet", DOCUMENTS, [{**empty, "id": name, "text": texts[name]} for name in sorted(texts)])
    clean(work / "in.parquet", work / "out", CleanConfig(minimum_characters=0), threads=1, memory="1GB", scratch=work / "scratch")
    found = {row["id"]: row["text"] for row in pq.read_table(work / "out" / "documents.parquet").to_pylist()}
    return dict.fromkeys(texts, "") | found


def is_kept(kind: str, language: str, passage: str, found: str) -> bool:
    """Return whether a cleaned document has a passage as it was."""
    if kind in EXACT:
        return passage.rstrip() in found
    if kind == "hyphens":
        return re.search(joined(passage, language), found) is not None
    return "\n".join(line.strip() for line in passage.split("\n")) in "\n".join(line.strip() for line in found.split("\n"))


def hard_wraps(language: str, random: Random) -> Damaged:
    """Break paragraphs into lines."""
    parts = [paragraph(language, random, 4, 8) for _ in range(4)]
    return Damaged("\n\n".join(parts), "\n\n".join(wrap(part, 68) for part in parts), 4, lambda found: 4 - sum(p in found for p in parts))


def hyphenation(language: str, random: Random) -> Damaged:
    """Break paragraphs into lines and words at their ends."""
    cut: list[str] = []

    def at(word: str, room: int) -> int:
        place = break_word(word, room) if room > 2 else 0
        cut.extend([word.rstrip(".,;")] if place else [])
        return place

    parts = [paragraph(language, random, 4, 8) for _ in range(4)]
    prose, printed = "\n\n".join(parts), "\n\n".join(wrap(part, 64, at) for part in parts)
    return Damaged(prose, printed, len(cut), lambda found: _missing([word for word in re.findall(r"[^\s.,;]+", prose)], found, set(cut)))


def _missing(words: list[str], found: str, among: set[str]) -> int:
    gone = Counter(words) - Counter(re.findall(r"[^\s.,;]+", found))
    return sum(times for word, times in gone.items() if word in among)


def pages(language: str, random: Random) -> Damaged:
    """Set paragraphs in pages with heads and numbers."""
    parts = [paragraph(language, random, 5, 8) for _ in range(24)]
    lines, first, head = (
        "\n\n".join(wrap(part, 68) for part in parts).split("\n"),
        random.randint(1, 200),
        f"THE {random.choice(parts)[:18].upper()}",
    )
    sheets = [lines[at : at + 34] for at in range(0, len(lines), 34)]
    planted = [head] * len(sheets) + [str(first + number) for number in range(len(sheets))]
    printed = "\n".join("\n".join([head, "", *sheet, "", str(first + number), ""]) for number, sheet in enumerate(sheets))
    return Damaged("\n\n".join(parts), printed, len(planted), lambda found: sum((Counter(planted) & Counter(found.split("\n"))).values()))


def notices(language: str, random: Random) -> Damaged:
    """Put notices of libraries, scanners and Project Gutenberg before and behind a text."""
    parts = [paragraph(language, random, 4, 8) for _ in range(random.choice((4, 60)))]
    above, below = (random.sample(list(some), random.randint(1, 2)) for some in (HEADS, FEET))
    above.sort(key=lambda line: line.startswith("***"))
    below.sort(key=lambda line: not line.startswith("***"))
    planted = [line.format(parts[0][:20].upper()) for line in above + below]
    text = "\n\n".join([*planted[: len(above)], *parts, *planted[len(above) :]])
    return Damaged("\n\n".join(parts), text, len(planted), lambda found: sum(line in found for line in planted))


def wrong_decoding(language: str, random: Random) -> Damaged:
    """Read the bytes of a text as those of Windows-1252."""
    parts = [f'"{paragraph(language, random, 2, 4)}" it\'s' for _ in range(4)]
    words = [" ".join(mojibake(curl_quotes(word)) for word in part.split(" ")) for part in parts]
    return Damaged("\n\n".join(parts), "\n\n".join(words), 4, lambda found: 4 - sum(part in found for part in parts))


FAULTS = {"hard wraps": hard_wraps, "hyphenation": hyphenation, "pages": pages, "notices": notices, "mojibake": wrong_decoding}


def print_table(title: str, rows: dict[str, dict[str, str]]) -> None:
    """Print a table of Markdown with a column for each language."""
    print(f"\n| {title} | {' | '.join(LANGUAGES)} |\n|---|{'---|' * len(LANGUAGES)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(row.get(language, '') for language in LANGUAGES)} |")


def false_edits(count: int, show: int, work: Path) -> int:
    """Print how many passages of each kind and language were edited; return how many in all."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    total = 0
    for language in LANGUAGES:
        drawn = [(f"{number:06}", *one) for number, one in enumerate(passages(language, count))]
        found = run({name: document for name, _, _, document in drawn}, work / language)
        edited = Counter(dict.fromkeys(KINDS, 0))
        for name, kind, passage, document in drawn:
            if not is_kept(kind, language, passage, found[name]):
                edited[kind] += 1
                if edited[kind] <= show:
                    print(f"{kind}, {language}, {name}:\n  {dump(document[:600])}\n  {dump(found[name][:600])}")
        real = examples(language)
        after = run({"real": "\n\n".join(real)}, work / f"{language} real")["real"]
        edited["real sentences"] = sum(" ".join(line.split()).replace("’", "'") not in after for line in real)
        for kind, times in edited.items():
            rows[kind][language] = str(times)
        total += edited.total()
    print_table(f"false edits, of {count} each", rows)
    return total


def recall(count: int, work: Path) -> None:
    """Print what share of planted faults is repaired, by kind and language, and how many words of the prose are gone."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for language in LANGUAGES:
        for kind, damage in FAULTS.items():
            drawn = {f"{number:03}": damage(language, Random(f"{kind} {language} {number}")) for number in range(count)}
            found = run({name: one.printed for name, one in drawn.items()}, work / f"{language} {kind}")
            faults, left = (sum(some) for some in zip(*((one.faults, one.left(found[name])) for name, one in drawn.items()), strict=True))
            gone = sum((Counter(one.prose.split()) - Counter(found[name].split())).total() for name, one in drawn.items())
            rows[kind][language] = f"{1 - left / max(faults, 1):.1%} {gone}" if faults else ""
    print_table(f"repaired, words gone; {count} texts each", rows)


def main(count: int, show: int, work: Path) -> int:
    """Print both tables."""
    recall(max(count // 10, 1), work / "damaged")
    edited = false_edits(count, show, work / "right")
    print(f"\n{edited} false edits in {count * len(KINDS) * len(LANGUAGES)} passages")
    return int(edited > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=200, help="of each kind and language; a tenth as many damaged texts")
    parser.add_argument("--show", type=int, default=0, help="edited passages of each kind and language to print")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="folio-untouched-") as folder:
        sys.exit(main(options.passages, options.show, Path(folder)))
