"""How well personal data is found: a confusion matrix over sentences in which it is known."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count, share

FILE, NOTHING = "personal_data.json", "nothing"


def personal_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the matrix, which the first shard wrote; None if the recipe looks for no personal data."""
    known = (position for position in positions if any(file.path == FILE for file in run.results.artifacts[position].files))
    position = next(known, None)
    if position is None:
        return None
    matrix: dict[str, dict[str, int]] = run.results.json(position, FILE)
    columns = list(matrix[NOTHING])
    rows = tuple(
        Row((kind, *(count(row[found]) if row[found] else "" for found in columns), share(row[kind] / max(1, sum(row.values())))))
        for kind, row in matrix.items()
    )
    lead = (
        "Redaction was tried on made-up sentences in which it is known what is personal. A row is what stands in a sentence, a column what "
        "was found there; nothing stands in sentences with years, versions, prices and other numbers that are nobody's. A password without "
        "a shape of its own can't be found, and a telephone number without + only in the recipe's regions."
    )
    table = Table(
        "Sentences, by what stands there and what was found",
        ("what stands there", *columns, "right"),
        rows,
        right=frozenset(range(1, len(columns) + 2)),
    )
    return Section("personal", "How well personal data was found", lead, tables=(table,))


PERSONAL = Topic("personal data", 62, personal_section)
