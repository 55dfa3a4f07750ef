"""C4's rules, which cut lines out of documents and remove documents.

Each cut line is kept word for word with its number. The rest of a document keeps the order of its lines, with one blank line wherever there
were any. Rules that remove a document for a word in it see the text before any line is cut. Runs at about 45 MB/s on one core.
"""

from __future__ import annotations

import re
from itertools import groupby

from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.heuristics import Threshold, remove_failing
from data.filtering.published import C4, POLICIES
from data.filtering.sql import SQL

CUTS = ("c4 terminal punctuation", "c4 line words", "c4 javascript", "c4 policies")


def c4(config: C4) -> Step:
    """Return the step that applies C4's rules."""
    whole = (
        *((Threshold("c4 lorem ipsum", "lorem_ipsum", ">", 0),) if config.lorem_ipsum else ()),
        *((Threshold("c4 curly brackets", "curly_brackets", ">", 0),) if config.curly_brackets else ()),
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
        cut = batch.rows("SELECT n, place, cut FROM line_cut WHERE cut IS NOT NULL ORDER BY n, place")
        for number, pairs in groupby(cut, key=lambda pair: pair[0].number):
            _shorten(batch.documents[number], {row["place"]: row["cut"] for _, row in pairs})
            batch.mark_changed()
        for document, row in batch.rows("SELECT n, sentences FROM sentences ORDER BY n"):
            if row["sentences"] < config.minimum_sentences:
                document.remove("c4 sentences", f"sentences {row['sentences']} < {config.minimum_sentences}")
        for document in batch.remaining:
            if not document.text.strip():
                document.remove("c4 empty", "no line is left")

    return step


def _shorten(document: TrackedDocument, rules: dict[int, str]) -> None:
    """Cut lines, given as {number: rule}, and account for them and for the line ends that go with them.

    Blank lines stay, but at most one in a row.
    """
    lines, before, lost = document.text.split("\n"), len(document.text), 0
    cuts = [(rule, place, lines[place - 1]) for place, rule in rules.items()]
    for rule in CUTS:
        sizes = [len(line) for name, _, line in cuts if name == rule]
        if sizes:
            document.note("cut", rule, len(sizes), sum(sizes), sum(sizes))
            lost += sum(sizes)
    document.cuts += cuts
    kept = (line for place, line in enumerate(lines, 1) if place not in rules)
    text = re.sub("\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
    document.row["text"] = text
    ends = before - len(text) - lost
    if ends:
        document.note("changed", "c4 line ends", 1, ends, ends)
