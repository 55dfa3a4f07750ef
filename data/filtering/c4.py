"""C4's rules: lines that are cut out of documents, and documents that go.

Guarantees: a line that was cut is noted word for word with its number; what is left of a document keeps the order of its lines and one
blank line where there were any. Rules that remove a document for a word in it see it before a line is cut.
Costs about 45 MB/s on one core.
"""

from __future__ import annotations

import re
from itertools import groupby

from data.filtering.batch import SQL, Batch, Step, TrackedDocument
from data.filtering.heuristics import Bound, remove_failing
from data.filtering.published import C4, POLICIES

CUTS = ("c4 terminal punctuation", "c4 line words", "c4 javascript", "c4 policies")


def c4(config: C4) -> Step:
    """C4's rules as a step."""
    whole = (
        *((Bound("c4 lorem ipsum", "lorem_ipsum", ">", 0),) if config.lorem_ipsum else ()),
        *((Bound("c4 curly brackets", "curly_brackets", ">", 0),) if config.curly_brackets else ()),
    )
    enough = " +".join(["[^ ]+"] * config.minimum_line_words)

    def step(batch: Batch) -> None:
        batch.load()
        batch.work.set_variables(
            javascript=config.javascript,
            policies=config.policies,
            policy=f"(?i){'|'.join(POLICIES)}",
            terminal_punctuation=config.terminal_punctuation,
            enough_words=enough,
            minimum_sentences=config.minimum_sentences,
        )
        batch.work.run_file(SQL / "c4.sql")
        remove_failing(batch, whole)
        cut = batch.rows("SELECT n, place, cut FROM judged WHERE cut IS NOT NULL ORDER BY n, place")
        for number, pairs in groupby(cut, key=lambda pair: pair[0].number):
            _shorten(batch.documents[number], {row["place"]: row["cut"] for _, row in pairs})
            batch.changed()
        for document, row in batch.rows("SELECT n, sentences FROM sentences ORDER BY n"):
            if row["sentences"] < config.minimum_sentences:
                document.remove("c4 sentences", f"sentences {row['sentences']} < {config.minimum_sentences}")
        for document in batch.alive:
            if not document.text.strip():
                document.remove("c4 empty", "no line is left")

    return step


def _shorten(document: TrackedDocument, rules: dict[int, str]) -> None:
    """Takes lines out, each by its number and rule, and accounts for them and for the line ends that went with them.

    Blank lines stay, no more than one between two others."""
    lines, before, lost = document.text.split("\n"), len(document.text), 0
    taken = [(rule, place, lines[place - 1]) for place, rule in rules.items()]
    for rule in CUTS:
        sizes = [len(line) for name, _, line in taken if name == rule]
        if sizes:
            document.note("cut", rule, len(sizes), sum(sizes), sum(sizes))
            lost += sum(sizes)
    document.cuts += taken
    stay = (line for place, line in enumerate(lines, 1) if place not in rules)
    text = re.sub("\n{3,}", "\n\n", "\n".join(stay)).strip("\n")
    document.row["text"] = text
    ends = before - len(text) - lost
    if ends:
        document.note("changed", "c4 line ends", 1, ends, ends)
