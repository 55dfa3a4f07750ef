"""The published heuristics: named rules that compare a measure of a document with a bound, in SQL or over arrays.

The first rule that fails, in the order written here, removes the document, and the ledger says what was measured and what the bound is. A
measure without a value (the share of lines of a text without lines) fails no rule.
Speed on one core: Gopher's quality rules about 30 MB/s, FineWeb's rules 100 MB/s, repetition 20 MB/s.

C4's rules, which cut lines out of documents and remove documents.

Each cut line is kept word for word with its number. The rest of a document keeps the order of its lines, with one blank line wherever there
were any. Rules that remove a document for a word in it see the text before any line is cut. Runs at about 45 MB/s on one core.

Measures Gopher's repetition rules (Rae et al. 2021, arXiv:2112.11446, table A1) over many documents at once.

A repeated n-gram consists of repeated shorter ones, so each size is searched only where the previous size was repeated. Words, lines and
n-grams are compared by 64-bit hashes (`segmentation`). Runs at about 20 MB/s on one core, in numpy sorts that let other threads run.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.config import LengthConfig, SymbolsConfig
from data.filtering.published import C4, POLICIES, REPEATED_SIZES, TOP_SIZES, FineWeb, GopherQuality, GopherRepetition
from data.filtering.segmentation import Int64s, Segmentation, UInt64s, Units, segment
from data.filtering.sql import SQL

Shares = NDArray[np.float64]
_TIMES = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class EqualGroups:
    """Groups of at least two equal hashes: the indices of their members, group after group, and the size of each group."""

    member_M: Int64s
    size_G: Int64s

    @property
    def start_G(self) -> Int64s:
        """The begin of each group in `member_M`."""
        found: Int64s = np.cumsum(self.size_G) - self.size_G
        return found

    def least_G(self, value: Int64s) -> Int64s:
        """Return the minimum of `value` over the members of each group."""
        found: Int64s = np.minimum.reduceat(value[self.member_M], self.start_G) if len(self.size_G) else np.empty(0, np.int64)
        return found


def group_equal(hashes: UInt64s) -> EqualGroups:
    """Group equal hashes; groups and their members come in any order."""
    order = np.argsort(hashes)
    rising = hashes[order]
    start = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(order)])
    times = np.diff(np.append(start, len(order)))
    return EqualGroups(order[np.repeat(times > 1, times)], times[times > 1])


def measure_repetition(part: Segmentation) -> Shares:
    """Return a row for each rule, in the order of `heuristics.gopher_repetition`, and a column for each document; NaN for empty ones."""
    with np.errstate(invalid="ignore"):
        lines, paragraphs = duplicate_shares(part.lines, len(part.n_D)), duplicate_shares(part.paragraphs, len(part.n_D))
        found: Shares = np.stack([lines[0], paragraphs[0], lines[1], paragraphs[1], *ngram_shares(part)])
    return found


def duplicate_shares(units: Units, documents: int) -> tuple[Shares, Shares]:
    """Return the shares of units, and of their characters, that occur earlier in their document."""
    found = group_equal(units.hash_P)
    repeated_P = np.zeros(len(units.hash_P), np.int64)
    repeated_P[found.member_M] = 1
    repeated_P[found.member_M[found.start_G]] = 0  # Equal units have equal sizes, so the choice of the first does not matter.

    def share(value_P: Int64s) -> Shares:
        total_D = np.bincount(units.document_P, value_P, documents)
        result: Shares = np.bincount(units.document_P, value_P * repeated_P, documents) / total_D
        return result

    return share(np.ones_like(repeated_P)), share(units.size_P)


def ngram_shares(part: Segmentation) -> list[Shares]:
    """Return the shares of characters in the most frequent n-gram, for TOP_SIZES, and in repeated n-grams, for REPEATED_SIZES."""
    words = part.words
    total_D = part.characters(np.ones(len(words.size_P), bool))
    end_W = part.first_word_D[1:][words.document_P]
    start_C, hash_C, found = np.arange(len(end_W)), words.hash_P, list[Shares]()
    for size in range(2, REPEATED_SIZES[-1] + 1):
        whole_C = start_C + size <= end_W[start_C]
        if size > 2:
            whole_C[:-1] &= np.diff(start_C) == 1  # An n-gram is repeated only if both shorter ones in it are.
            whole_C[-1:] = False
        start_C = start_C[whole_C]
        hash_C = hash_C[whole_C] * _TIMES + words.hash_P[start_C + size - 1]
        groups = group_equal(hash_C)
        start_O = _most_frequent(part, start_C, groups, size) if size in TOP_SIZES else _repeats(start_C, groups)
        covered_W = np.zeros(len(end_W), bool)
        for offset in range(size):
            covered_W[start_O + offset] = True
        found.append(part.characters(covered_W) / total_D)
        repeated_C = np.zeros(len(start_C), bool)
        repeated_C[groups.member_M] = True
        start_C, hash_C = start_C[repeated_C], hash_C[repeated_C]
    return found


def _repeats(start_C: Int64s, groups: EqualGroups) -> Int64s:
    """Return the starts of n-grams that occur earlier."""
    after_M = start_C[groups.member_M] > np.repeat(groups.least_G(start_C), groups.size_G)
    found: Int64s = start_C[groups.member_M[after_M]]
    return found


def _most_frequent(part: Segmentation, start_C: Int64s, groups: EqualGroups, size: int) -> Int64s:
    """Return the starts of each document's most frequent n-gram; of equally frequent ones the longest, and of these the first."""
    first_G = groups.least_G(start_C)
    document_G = part.words.document_P[first_G]
    most_D = np.zeros(len(part.n_D), np.int64)
    np.maximum.at(most_D, document_G, groups.size_G)
    best_G = np.flatnonzero(groups.size_G == most_D[document_G])
    length_G = sum((part.words.size_P[first_G[best_G] + offset] for offset in range(size)), np.zeros(len(best_G), np.int64))
    best_G = best_G[np.lexsort((first_G[best_G], -length_G, document_G[best_G]))]
    best_G = best_G[np.flatnonzero(np.append(True, np.diff(document_G[best_G]) > 0)[: len(best_G)])]
    chosen_G = np.zeros(len(first_G), bool)
    chosen_G[best_G] = True
    found: Int64s = start_C[groups.member_M[np.repeat(chosen_G, groups.size_G)]]
    return found


COMPARE: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Threshold:
    """A document fails `rule` if `measure` `sign` `limit` is true; a limit of None switches the rule off."""

    rule: str
    measure: str
    sign: str
    limit: float | None

    def failed(self, measured: float | None) -> bool:
        """Whether a measured value fails the rule."""
        return measured is not None and self.limit is not None and COMPARE[self.sign](measured, self.limit)

    def detail(self, measured: float) -> str:
        """Return the measured value and the bound, for the ledger."""
        return f"{self.measure} {format_number(measured)} {self.sign} {format_number(self.limit or 0)}"


def format_number(value: float) -> str:
    """Format a number for people: as an integer if it is one, else with up to six digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


@dataclass(frozen=True)
class MeasuredRules:
    """A step that applies bounds to the measures of one .sql file."""

    script: str
    bounds: Sequence[Threshold]

    def __call__(self, batch: Batch) -> None:
        """Remove the documents that fail a rule."""
        batch.load()
        batch.work.run_file(SQL / self.script)
        remove_failing(batch, self.bounds)


def remove_failing(batch: Batch, bounds: Sequence[Threshold]) -> None:
    """Remove documents by the first bound that they fail, according to table `measured`."""
    for document, row in batch.rows("SELECT * FROM measured ORDER BY n"):
        failed = next((bound for bound in bounds if bound.failed(row[bound.measure])), None)
        if failed is not None:
            document.remove(failed.rule, failed.detail(row[failed.measure]))


def length(config: LengthConfig) -> MeasuredRules:
    """Return the step that bounds the length of documents."""
    bounds = (
        Threshold("length characters", "characters", "<", config.minimum_characters),
        Threshold("length characters", "characters", ">", config.maximum_characters),
        Threshold("length words", "words", "<", config.minimum_words),
        Threshold("length words", "words", ">", config.maximum_words),
    )
    return MeasuredRules("length.sql", bounds)


def symbols(config: SymbolsConfig) -> MeasuredRules:
    """Return the step that bounds the share of symbols."""
    return MeasuredRules("symbols.sql", (Threshold("symbols", "symbols", ">", config.maximum),))


def gopher_quality(config: GopherQuality) -> MeasuredRules:
    """Return the step with Gopher's quality rules, in the order of the paper."""
    bounds = (
        Threshold("gopher words", "words", "<", config.minimum_words),
        Threshold("gopher words", "words", ">", config.maximum_words),
        Threshold("gopher word length", "mean_word_length", "<", config.minimum_word_length),
        Threshold("gopher word length", "mean_word_length", ">", config.maximum_word_length),
        Threshold("gopher hashes", "hashes_a_word", ">", config.maximum_hashes),
        Threshold("gopher ellipses", "ellipses_a_word", ">", config.maximum_ellipses),
        Threshold("gopher bullet lines", "bullet_lines", ">", config.maximum_bullet_lines),
        Threshold("gopher ellipsis lines", "ellipsis_lines", ">", config.maximum_ellipsis_lines),
        Threshold("gopher alphabetic words", "alphabetic_words", "<", config.minimum_alphabetic_words),
        Threshold("gopher stop words", "stop_words", "<", config.minimum_stop_words),
    )
    return MeasuredRules("gopher_quality.sql", bounds)


def fineweb(config: FineWeb) -> Step:
    """Return the step with FineWeb's rules."""
    bounds = (
        Threshold("fineweb punctuated lines", "punctuated_lines", "<=", config.minimum_punctuated_lines),
        Threshold("fineweb duplicate characters", "duplicate_characters", ">=", config.maximum_duplicate_characters),
        Threshold("fineweb short lines", "short_lines", ">=", config.maximum_short_lines),
    )
    measure = MeasuredRules("fineweb.sql", bounds)

    def step(batch: Batch) -> None:
        batch.work.set_variables(short_line=config.short_line)
        measure(batch)

    return step


def gopher_repetition(config: GopherRepetition) -> Step:
    """Return the step with Gopher's repetition rules, lines and paragraphs first."""
    bounds = (
        Threshold("gopher duplicate lines", "duplicate_lines", ">", config.lines),
        Threshold("gopher duplicate paragraphs", "duplicate_paragraphs", ">", config.paragraphs),
        Threshold("gopher duplicate line characters", "duplicate_line_characters", ">", config.line_characters),
        Threshold("gopher duplicate paragraph characters", "duplicate_paragraph_characters", ">", config.paragraph_characters),
        *(Threshold(f"gopher top {n}-grams", f"top_{n}_grams", ">", getattr(config, f"top_{n}_grams")) for n in TOP_SIZES),
        *(
            Threshold(f"gopher repeated {n}-grams", f"repeated_{n}_grams", ">", getattr(config, f"repeated_{n}_grams"))
            for n in REPEATED_SIZES
        ),
    )

    def step(batch: Batch) -> None:
        for part in segment(batch.plain()):
            remove_by_shares(batch, part.n_D, measure_repetition(part), bounds)

    return step


def remove_by_shares(batch: Batch, n_D: Int64s, measured_RD: Shares, bounds: Sequence[Threshold]) -> None:
    """Remove the documents numbered `n_D` by the first upper bound that they fail; row r of `measured_RD` belongs to bound r."""
    failed_RD = measured_RD > np.array([[bound.limit] for bound in bounds])
    for column in np.flatnonzero(failed_RD.any(axis=0)).tolist():
        rule, document = int(failed_RD[:, column].argmax()), batch.documents[n_D[column]]
        if document.removal is None:
            document.remove(bounds[rule].rule, bounds[rule].detail(float(measured_RD[rule, column])))


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
