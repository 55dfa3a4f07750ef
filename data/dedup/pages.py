"""Repeated pages: the second copy of a page-long run of words in one book is cut out, to the word.

Pages need not begin or end with a paragraph, so copies are found as runs of words that stand at one distance from their
first copy; a few differing words inside (a scanner reads no page twice alike) don't end a run. A single line that returns
is too short to be a page, a line repeated over and over is too near its copy, and a passage that an author quotes again
chapters later is too far from it. Costs one pass, linear in the words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.dedup.config import SQL, PageRule
from data.documents.database import Workspace
from data.documents.stream import DocumentWriter, batches
from data.documents.words import gram_macro, spans


def cut_words(text: str, runs: list[tuple[int, int]]) -> str:
    """`text` without the runs (first word, number of words; words count from 1), each cut at the spaces around it.

    Where a cut meets a paragraph break on either side, the break stays.
    """
    words = spans(text)
    removed = sorted((_edge(text, words[first - 1][0]), _end(text, words, first - 1 + count)) for first, count in runs)
    kept, position = "", 0
    for start, end in removed:
        kept = _widen(kept + text[position : max(start, position)], text[start:end])
        position = max(position, end)
    rest = text[position:]
    return kept + rest if rest else kept.rstrip()


def _edge(text: str, position: int) -> int:
    """The beginning of the space-delimited piece that holds `position`: an opening quote belongs to its word."""
    while position > 0 and not text[position - 1].isspace():
        position -= 1
    return position


def _end(text: str, words: list[tuple[int, int]], following: int) -> int:
    return _edge(text, words[following][0]) if following < len(words) else len(text)


def _widen(kept: str, removed: str) -> str:
    """Gives `kept` the paragraph break that ended the removed text, if that is wider than its own end."""
    ending = removed[len(removed.rstrip()) :]
    if not kept or ending.count("\n") <= kept[len(kept.rstrip()) :].count("\n"):
        return kept
    return kept.rstrip() + ending


def remove_repeated_pages(work: Workspace, documents: Sequence[Path], rule: PageRule) -> Sequence[Path]:
    """Writes the documents without repeated pages into the workspace; table `repeated_page` says what was cut from where."""
    work.connection.execute("CREATE TABLE repeated_page (id VARCHAR, first BIGINT, words BIGINT, distance BIGINT)")
    work.connection.execute("CREATE TABLE page_cut (id VARCHAR, pages BIGINT, characters BIGINT)")
    if not rule.enabled:
        return documents
    work.connection.execute(gram_macro("page_grams", rule.window))
    work.set(page_min_words=rule.min_words, page_window=rule.window, page_gap=rule.gap)
    work.set(page_similarity=rule.similarity, page_max_apart=rule.max_apart)
    for batch in batches(documents, ("id", "text")):
        work.on_batch(SQL / "pages.sql", batch)
    runs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, first, words in work.connection.execute("SELECT id, first, words FROM repeated_page ORDER BY ALL").fetchall():
        runs[name].append((first, words))
    if not runs:
        return documents
    target = work.folder / "paged.parquet"
    with DocumentWriter(target) as writer:
        for batch in batches(documents):
            for row in batch.to_pylist():
                if row["id"] in runs:
                    before = len(row["text"])
                    row["text"] = cut_words(row["text"], runs[row["id"]])
                    work.connection.execute(
                        "INSERT INTO page_cut VALUES (?, ?, ?)", [row["id"], len(runs[row["id"]]), before - len(row["text"])]
                    )
                writer.write(row)
    return (target,)
