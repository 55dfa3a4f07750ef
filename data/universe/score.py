"""Scores cleaning and deduplication of the universe against the truth.

A fault is repaired if exactly the clean words it covers are back, with no foreign word before or among them; a hard wrap, if its paragraph
has no line break left; an insertion, if its two neighbors are adjacent again. Precision compares repairs with the places where cleaning
changed correct text. The faults of a dropped document count as unrepaired. Takes about three seconds for 1.3 MB.

Aligns the words of a true text with a cleaned one's.

Runs of four words that occur once in both texts are anchors, as in patience diff; difflib compares what lies between them, so a book takes
milliseconds. A gap too long for difflib stays unaligned.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from data.documents.stream import Files, listed
from data.universe.write import truth_table

RUN = 4
LONGEST_GAP = 4_000_000  # product of the numbers of words in the two texts


def align(truth: list[str], found: list[str]) -> list[int]:
    """Return for each word of `truth` the index of the same word in `found`, or -1. Indices ascend."""
    matched = [-1] * len(truth)
    at, there = 0, 0
    for left, right in [*_anchors(truth, found), (len(truth), len(found))]:
        _fill(truth, found, at, left, there, right, matched)
        if left < len(truth):
            for step in range(RUN):
                matched[left + step] = right + step
        at, there = left + RUN, right + RUN
    return matched


def _anchors(truth: list[str], found: list[str]) -> list[tuple[int, int]]:
    """Return positions of runs of RUN words that are unique in both texts, ascending in both and without overlap."""
    in_truth, in_found = _unique_runs(truth), _unique_runs(found)
    pairs = sorted((at, in_found[run]) for run, at in in_truth.items() if run in in_found)
    # The longest ascending subsequence, by patience sorting.
    tails: list[int] = []
    ends: list[int] = []
    before = [-1] * len(pairs)
    for index, (_, right) in enumerate(pairs):
        pile = bisect_left(tails, right)
        before[index] = ends[pile - 1] if pile else -1
        tails[pile : pile + 1] = [right]
        ends[pile : pile + 1] = [index]
    chain: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    kept: list[tuple[int, int]] = []
    for left, right in reversed(chain):
        if not kept or (left >= kept[-1][0] + RUN and right >= kept[-1][1] + RUN):
            kept.append((left, right))
    return kept


def _unique_runs(words: list[str]) -> dict[tuple[str, ...], int]:
    runs = [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
    count = Counter(runs)
    return {run: at for at, run in enumerate(runs) if count[run] == 1}


def _fill(truth: list[str], found: list[str], at: int, left: int, there: int, right: int, matched: list[int]) -> None:
    """Align truth[at:left] with found[there:right] and enter the result in `matched`."""
    if at >= left or there >= right or (left - at) * (right - there) > LONGEST_GAP:
        return
    if truth[at:left] == found[there:right]:
        matched[at:left] = range(there, right)
        return
    blocks = SequenceMatcher(None, truth[at:left], found[there:right], autojunk=False).get_matching_blocks()
    for one, other, size in blocks:
        matched[at + one : at + one + size] = range(there + other, there + other + size)


_TOKEN = re.compile(r"(\s*)(\S+)")
EDGE = 8  # words
Row = dict[str, Any]


@dataclass(frozen=True)
class Alignment:
    """A true text aligned with a cleaned one.

    `matched[i]`: index in the cleaned text of true word i, or -1; `breaks[j]`: newlines before cleaned word j; `headings`: true
    words in titles.
    """

    truth: list[str]
    matched: list[int]
    breaks: list[int]
    headings: frozenset[int]

    @staticmethod
    def of(truth_text: str, found_text: str) -> Alignment:
        """Align two texts word by word."""
        found = _TOKEN.findall(found_text)
        truth: list[str] = []
        headings: set[int] = set()
        for number, paragraph in enumerate(truth_text.split("\n\n")):
            words = paragraph.split()
            if number < 2 or words[0] == "Chapter":
                headings.update(range(len(truth), len(truth) + len(words)))
            truth += words
        return Alignment(truth, align(truth, [w for _, w in found]), [s.count("\n") for s, _ in found], frozenset(headings))

    def foreign_words(self, start: int, end: int) -> int:
        """Return how many words of the cleaned text between the neighbors of [start, end) are not of the truth."""
        before = next((m for m in reversed(self.matched[:start]) if m >= 0), -1)
        after = next((m for m in self.matched[end:] if m >= 0), len(self.breaks))
        return after - before - 1 - sum(m >= 0 for m in self.matched[start:end])

    def intact(self, start: int, end: int) -> bool:
        """Return whether the words [start, end) are all there and adjacent."""
        found = self.matched[start:end]
        return -1 not in found and found[-1] - found[0] == end - start - 1

    def repaired(self, kind: str, start: int, end: int) -> bool:
        """Return whether a fault is repaired, as the module defines it."""
        if kind == "hard_wrap":
            inside = [m for m in self.matched[start + 1 : end] if m >= 0]
            return len(inside) > (end - start) / 2 and not any(self.breaks[m] for m in inside)
        if start < end:
            return self.intact(start, end)
        # Cleaning may drop a heading; the neighbor is then the next word outside it.
        left, right = start - 1, start
        while left in self.headings and self.matched[left] < 0:
            left -= 1
        while right in self.headings and self.matched[right] < 0:
            right += 1
        first = self.matched[left] if left >= 0 else -1
        last = self.matched[right] if right < len(self.truth) else len(self.breaks)
        if left < 0 and right + 1 < len(self.truth) and self.matched[right + 1] not in (-1, last + 1):
            return False  # a word of the boilerplate was taken for the book's first
        return (left < 0 or first >= 0) and last == first + 1


def score(
    truth: Path, cleaned_documents: Sequence[Path], deduplicated_documents: Files, dedup_ledger: Path | None = None
) -> dict[str, float]:
    """Return scores between 0 and 1. Raise ValueError if no document is of the universe.

    `truth`: the folder that write_universe wrote; the documents: a file for each shard, with each book's path in the metadata;
    `dedup_ledger`: adds the number of documents that it calls duplicates.
    """
    import pyarrow.parquet as pq

    clean = {row["path"]: row["text"] for row in truth_table(truth, "clean")}
    faults: dict[str, list[Row]] = defaultdict(list)
    for row in truth_table(truth, "faults"):
        faults[row["path"]].append(row)
    groups = {row["path"]: row["original"] for row in truth_table(truth, "duplicates")}
    cleaned, kept = _texts(cleaned_documents, clean), _texts(listed(deduplicated_documents), clean)
    if not cleaned:
        raise ValueError(f"{', '.join(map(str, cleaned_documents))} holds no document of the universe in {truth}: metadata needs its path")
    figures = _score_cleaning(clean, cleaned, faults)
    figures |= _score_deduplication(set(cleaned), set(kept), groups)
    figures |= _score_duplicate_pages(clean, cleaned, kept, faults)
    if dedup_ledger is not None:
        rows = pq.read_table(dedup_ledger, columns=["id", "action"]).to_pylist()
        figures["ledger_duplicates"] = float(len({row["id"] for row in rows if row["action"] == "duplicate"}))
    return figures


def _texts(documents: Sequence[Path], known: dict[str, str]) -> dict[str, str]:
    """Return {path in the truth: text} of the documents whose metadata names a file of the universe."""
    import pyarrow.parquet as pq

    by_name = {path.rsplit("/", 1)[-1]: path for path in known}
    texts: dict[str, str] = {}
    for row in (row for path in documents for row in pq.read_table(path, columns=["text", "metadata"]).to_pylist()):
        name = str(json.loads(row["metadata"] or "{}").get("path", "")).rsplit("/", 1)[-1]
        if name in by_name:
            texts[by_name[name]] = str(row["text"])
    return texts


def _score_cleaning(clean: dict[str, str], cleaned: dict[str, str], faults: dict[str, list[Row]]) -> dict[str, float]:
    injected: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    wrong_places = wrong_characters = characters = headings = headings_kept = paragraphs = intact = 0
    for path, text in clean.items():
        rows = [row for row in faults[path] if row["kind"] != "duplicate_page"]
        injected.update(row["kind"] for row in rows)
        if path not in cleaned:
            continue
        book = Alignment.of(text, cleaned[path])
        touched: set[int] = set()
        for row in rows:
            kind, start, end = row["kind"], row["start"], row["end"]
            repaired[kind] += book.repaired(kind, start, end)
            touched.update(range(start, end) if kind != "hard_wrap" else ())
        lost = [
            m < 0 and at not in touched and at not in book.headings for at, m in enumerate(book.matched)
        ]  # fmt: skip
        wrong_places += sum(now and not (at and lost[at - 1]) for at, now in enumerate(lost))
        wrong_characters += sum(len(word) for word, now in zip(book.truth, lost, strict=True) if now)
        characters += sum(map(len, book.truth))
        headings += len(book.headings)
        headings_kept += sum(book.matched[at] >= 0 for at in book.headings)
        cleaned_paragraphs = {" ".join(part.split()) for part in re.split(r"\n\s*\n", cleaned[path])}
        true_paragraphs = [p for number, p in enumerate(text.split("\n\n")) if number > 1 and not p.startswith("Chapter ")]
        paragraphs += len(true_paragraphs)
        intact += sum(p in cleaned_paragraphs for p in true_paragraphs)
    total, done = sum(injected.values()), sum(repaired.values())
    return {
        "clean_recall": done / total if total else 1.0,
        "clean_recall_mean": sum(repaired[k] / n for k, n in injected.items()) / len(injected) if injected else 1.0,
        "clean_precision": done / (done + wrong_places) if done + wrong_places else 1.0,
        "false_edit_share": wrong_characters / max(1, characters),
        "paragraphs_intact": intact / max(1, paragraphs),
        "headings_kept": headings_kept / max(1, headings),
        "documents_cleaned": len(cleaned) / len(clean),
        **{f"clean_recall_{kind}": repaired[kind] / count for kind, count in sorted(injected.items())},
    }


def _score_deduplication(cleaned: set[str], kept: set[str], groups: dict[str, str]) -> dict[str, float]:
    """Score removals: one is right if another book of its group is kept; every copy beyond the first should be removed."""
    members: dict[str, set[str]] = defaultdict(set)
    for path in cleaned:
        members[groups.get(path, path)].add(path)
    removed = cleaned - kept
    right = sum(len(group & removed) for group in members.values() if group & kept)
    due = sum(len(group) - 1 for group in members.values())
    return {
        "document_dedup_precision": right / len(removed) if removed else 1.0,
        "document_dedup_recall": min(right, due) / due if due else 1.0,
    }


def _score_duplicate_pages(
    clean: dict[str, str], cleaned: dict[str, str], kept: dict[str, str], faults: dict[str, list[Row]]
) -> dict[str, float]:
    """Score the share of duplicate pages' words that dedup removed, and of true text lost with them."""
    injected = left = lost = characters = 0
    for path, text in kept.items():
        pages = [row for row in faults[path] if row["kind"] == "duplicate_page"]
        if not pages and text == cleaned.get(path):
            continue
        after, before = Alignment.of(clean[path], text), Alignment.of(clean[path], cleaned[path])
        for row in pages:
            start, end = row["start"], row["end"]
            injected += end - start
            # A word at the edge may be aligned with the other copy; a margin on both sides counts it as foreign.
            left += min(end - start, max(0, after.foreign_words(max(0, start - EDGE), end + EDGE)))
        characters += sum(map(len, after.truth))
        lost += sum(len(word) for word, then, now in zip(after.truth, before.matched, after.matched, strict=True) if then >= 0 > now)
    return {
        "page_dedup_recall": 1 - left / injected if injected else 1.0,
        "dedup_false_share": lost / max(1, characters),
    }
