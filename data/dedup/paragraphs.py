"""Long repeated paragraphs: the first stays, later ones go, inside a document or across documents.

Paragraphs are compared by their words; those shorter than the rule's length are never touched. Costs one pass over the kept
documents and about 40 bytes a long paragraph on disk.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.dedup.config import SQL, ParagraphRule
from data.documents.database import Workspace
from data.documents.stream import batches
from data.documents.words import PARAGRAPH_BREAK

_BREAK = re.compile(PARAGRAPH_BREAK)


def find_repeated_paragraphs(work: Workspace, documents: Sequence[Path], rule: ParagraphRule) -> dict[str, set[int]]:
    """Positions (from 1) of the paragraphs to remove, by document id; table `repeated_paragraph` names each one's original."""
    work.connection.execute("CREATE TABLE paragraph (id VARCHAR, position BIGINT, fingerprint UHUGEINT)")
    work.set(paragraph_min_characters=rule.min_characters, paragraph_corpus=rule.scope == "corpus")
    if rule.enabled:
        for batch in batches(documents, ("id", "text")):
            work.on_batch(SQL / "paragraphs.sql", batch)
    work.script(SQL / "repeated_paragraphs.sql")
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name, position in work.connection.execute("SELECT id, position FROM repeated_paragraph ORDER BY ALL").fetchall():
        found[name].add(position)
    return dict(found)


def without_paragraphs(text: str, positions: set[int]) -> str:
    """`text` without the paragraphs at `positions` (from 1); what stays is joined by blank lines."""
    return "\n\n".join(part for position, part in enumerate(_BREAK.split(text), 1) if position not in positions)
