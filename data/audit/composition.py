"""The composition of a corpus: sources, formats, languages, quarantined files and why, wrong titles, and the synthetic share.

Every count is one grouping in SQL over documents and their metadata; a property that no document has is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.audit.sql import SQL
from data.audit.survey import SPLIT
from data.documents.database import Database, parquet

TITLES_SHOWN = 50
FILES_SHOWN = 5
BY = {"sources": "source", "formats": "format", "languages": "language"}


def composition(work: Database, first: str, quarantined: Sequence[Path]) -> dict[str, Any]:
    """Return sources, formats and languages (name -> documents and characters, in and kept), quarantined, title_mismatches and synthetic.

    `first`: the stage whose documents came in; `quarantined`: the tables of files that it could not read. `work` has read the surveys.
    """
    for name, stage in (("in", first), ("kept", SPLIT)):
        work.set_variables(stage=stage)
        work.connection.execute(f"CREATE TABLE composition_{name} AS {(SQL / 'composition.sql').read_text('utf-8')}")
    parts: dict[str, Any] = {name: _count_by(work, column) for name, column in BY.items()}
    parts |= {"quarantined": _quarantined(work, quarantined), "title_mismatches": _titles(work, first)}
    return parts | {"synthetic": _synthetic(work)}


def _count_by(work: Database, column: str) -> dict[str, dict[str, int]]:
    rows = work.connection.execute((SQL / "by_property.sql").read_text("utf-8").replace("$column", column)).fetchall()
    if all(name is None for name, *_ in rows):
        return {}
    names = ("documents_in", "characters_in", "documents", "characters")
    counted = {str(name or "unknown"): dict(zip(names, counts, strict=True)) for name, *counts in rows}
    # Languages are detected after ingest, so documents as they came in have none.
    kept = {name: {key: entry[key] for key in names[2:]} for name, entry in counted.items() if entry["documents"]}
    return kept if column == "language" else counted


def _quarantined(work: Database, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    if not files:
        return {}
    rows = work.connection.execute(
        f"""SELECT split_part(reason, ':', 1) AS why, count(*), list(source || '/' || path ORDER BY source, path)[:{FILES_SHOWN}]
        FROM {parquet(files)} GROUP BY why ORDER BY why"""
    ).fetchall()
    return {why: {"files": count, "shown": shown} for why, count, shown in rows}


def _titles(work: Database, first: str) -> dict[str, Any]:
    wrong = f"FROM left_documents WHERE stage = '{first}' AND mistitled"
    rows = work.connection.execute(
        f"SELECT id, source, coalesce(path, '') AS path, title {wrong} ORDER BY source, path, id LIMIT {TITLES_SHOWN}"
    ).fetchall()
    shown = [dict(zip(("id", "source", "path", "title"), row, strict=True)) for row in rows]
    return {"documents": int(work.number(f"SELECT count(*) {wrong}")), "shown": shown}


def _synthetic(work: Database) -> dict[str, float]:
    whole, written = (work.number(f"SELECT sum(size) FROM composition_kept{only}") for only in ("", " WHERE synthetic"))
    count = work.number("SELECT count(*) FROM composition_kept WHERE synthetic")
    return {"documents": int(count), "characters": int(written), "share": written / whole if whole else 0.0}
