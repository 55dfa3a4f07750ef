"""Paragraphs and lines: of pieces equal in their words the first stays, later ones go, inside a document or across documents.

Both rules are this one, over other units. Pieces shorter than the rule's length are never touched. Costs two passes over the documents
that stay and about 40 bytes a long piece on disk; what is cut is fetched batch by batch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from data.dedup.config import SQL, PieceRule
from data.dedup.cutting import Spans, between
from data.dedup.texts import Texts, by_document
from data.documents.database import Database
from data.documents.stream import slices
from data.documents.words import PARAGRAPH_BREAK

# DuckDB makes some thirty times as much of a text while it takes it apart, outside its limit.
AT_ONCE = 4_000_000


class Unit(NamedTuple):
    """A kind of piece: its name in the ledger, and what stands between two; a pattern that reads the same in RE2 and in Python."""

    name: str
    separator: str

    def spans(self, text: str) -> Spans:
        """Start and end of every piece of `text`, in characters."""
        return between(text, re.compile(self.separator))


PARAGRAPH = Unit("paragraph", PARAGRAPH_BREAK)
LINE = Unit("line", r"\n")


def remove_repeated_pieces(work: Database, texts: Texts, rule: PieceRule, unit: Unit) -> None:
    """Cuts from `texts` every copy that the rule is after."""
    if not rule.enabled:
        return
    work.connection.execute("CREATE OR REPLACE TABLE piece (number BIGINT, position BIGINT, fingerprint UHUGEINT)")
    work.set_variables(piece_break=unit.separator, piece_min_characters=rule.min_characters)
    for batch in texts.batches():
        for few in slices(batch, AT_ONCE):
            work.run_on_batch(SQL / "pieces.sql", few)
    across = rule.scope == "corpus"
    find_copies(work, reach=1, inside=True, across=across, documents=rule.documents if across else 1)
    query = f"""SELECT copy.number, position, 1, 'first in ' || id || ', {unit.name} ' || origin_position, id
                FROM copy JOIN document AS d ON d.number = origin WHERE copy.number BETWEEN $first AND $last ORDER BY ALL"""
    texts.begin()
    for batch in texts.batches():
        texts.cut(unit.name, batch, by_document(texts.rows(query, batch)), unit.spans)


def find_copies(work: Database, *, reach: int, inside: bool, across: bool, documents: int) -> None:
    """Fills the table `copy` from `piece`, as repeated.sql says; `reach` is how many positions a piece covers."""
    work.set_variables(piece_reach=reach, piece_inside=inside, piece_across=across, piece_documents=documents)
    work.run_file(SQL / "repeated.sql")
