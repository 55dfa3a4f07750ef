"""Repeated paragraphs and lines: keep the first of units with equal words and cut later ones, within and across documents.

Both rules are the same over different units. Units shorter than the rule's minimum are never removed. Costs two passes over the documents
that stay and about 40 bytes on disk for each long unit; what to cut is fetched batch by batch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from data.dedup.config import UnitRule
from data.dedup.cutting import Spans, split_spans
from data.dedup.sql import SQL
from data.dedup.texts import Texts, by_document
from data.documents.database import Database
from data.documents.stream import slices
from data.documents.words import PARAGRAPH_BREAK

# While DuckDB splits a text it needs some thirty times its size, beyond its memory limit.
SLICE_CHARACTERS = 4_000_000


class Unit(NamedTuple):
    """A kind of unit: its name in the ledger and its separator, a pattern that means the same in RE2 and in Python."""

    name: str
    separator: str

    def spans(self, text: str) -> Spans:
        """Return start and end of every unit of `text`, in characters."""
        return split_spans(text, re.compile(self.separator))


PARAGRAPH = Unit("paragraph", PARAGRAPH_BREAK)
LINE = Unit("line", r"\n")


def remove_repeated_units(work: Database, texts: Texts, rule: UnitRule, unit: Unit) -> None:
    """Cut every copy that the rule covers from `texts`."""
    if not rule.enabled:
        return
    collect_units(work, texts, rule, unit)
    find_copied_units(work, rule)
    texts.start_rule()
    cut_units(texts, unit)


def collect_units(work: Database, texts: Texts, rule: UnitRule, unit: Unit) -> None:
    """Fill table `unit` with the units of documents that stay and are long enough for the rule."""
    work.connection.execute("CREATE OR REPLACE TABLE unit (number BIGINT, position BIGINT, fingerprint UHUGEINT)")
    work.set_variables(unit_break=unit.separator, unit_min_characters=rule.min_characters)
    for batch in texts.batches():
        for part in slices(batch, SLICE_CHARACTERS):
            work.run_on_batch(SQL / "units.sql", part)


def find_copied_units(work: Database, rule: UnitRule) -> None:
    """Fill table `copy` with the copies that the rule covers."""
    across = rule.scope == "corpus"
    find_copies(work, reach=1, inside=True, across=across, documents=rule.documents if across else 1)


def cut_units(texts: Texts, unit: Unit) -> None:
    """Cut the units in table `copy` from `texts`."""
    query = f"""SELECT copy.number, position, 1, 'first in ' || id || ', {unit.name} ' || origin_position, id
                FROM copy JOIN document AS d ON d.number = origin WHERE copy.number BETWEEN $first AND $last ORDER BY ALL"""
    for batch in texts.batches():
        texts.cut(unit.name, batch, by_document(texts.rows(query, batch)), unit.spans)


def find_copies(work: Database, *, reach: int, inside: bool, across: bool, documents: int) -> None:
    """Fill table `copy` from table `unit`, see repeated.sql. `reach` is the number of positions that a unit covers."""
    work.set_variables(unit_reach=reach, unit_inside=inside, unit_across=across, unit_documents=documents)
    work.run_file(SQL / "repeated.sql")
