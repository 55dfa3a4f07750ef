"""What a corpus is made of: sources, formats, languages, what was put aside and why, wrong titles, and the share that a machine wrote.

Every count is one grouping in SQL over rows of documents and their metadata; a property that no document has is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.documents.database import Database, parquet

SQL = Path(__file__).parent
TITLES_SHOWN = 50
FILES_SHOWN = 5
BY = {"sources": "source", "formats": "format", "languages": "language"}


def origins(work: Database, read: Sequence[Path], kept: Sequence[Path], folders: Sequence[Path]) -> dict[str, Any]:
    """`read` and `kept`: files of documents as they came in and as they stayed; `folders`: where quarantine.parquet may lie.

    Returns sources, formats and languages (name -> documents and characters, read and kept), quarantined, title_mismatches and synthetic.
    """
    for name, files in (("read", read), ("kept", kept)):
        work.connection.execute(f"CREATE OR REPLACE VIEW origin_documents AS SELECT * FROM {parquet(files)}")
        work.connection.execute(f"CREATE OR REPLACE TABLE origin_{name} AS {(SQL / 'origins.sql').read_text('utf-8')}")
    found: dict[str, Any] = {name: _by(work, column) for name, column in BY.items()}
    put_aside = [path for path in (folder / "quarantine.parquet" for folder in folders) if path.exists()]
    return found | {"quarantined": _quarantined(work, put_aside), "title_mismatches": _titles(work, read), "synthetic": _synthetic(work)}


def _by(work: Database, column: str) -> dict[str, dict[str, int]]:
    rows = work.connection.execute((SQL / "by_origin.sql").read_text("utf-8").replace("$column", column)).fetchall()
    if all(name is None for name, *_ in rows):
        return {}
    names = ("documents_in", "characters_in", "documents", "characters")
    counted = {str(name or "unknown"): dict(zip(names, counts, strict=True)) for name, *counts in rows}
    # Languages are told after reading: what came in has none yet.
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


def _titles(work: Database, read: Sequence[Path]) -> dict[str, Any]:
    wrong = "json_extract_string(metadata, '$.title_mismatch') = 'true'"
    rows = work.connection.execute(
        f"""SELECT id, source, coalesce(json_extract_string(metadata, '$.path'), '') AS path, title
        FROM {parquet(read)} WHERE {wrong} ORDER BY source, path, id LIMIT {TITLES_SHOWN}"""
    ).fetchall()
    shown = [dict(zip(("id", "source", "path", "title"), row, strict=True)) for row in rows]
    return {"documents": int(work.number(f"SELECT count(*) FROM {parquet(read)} WHERE {wrong}")), "shown": shown}


def _synthetic(work: Database) -> dict[str, float]:
    whole, written = (work.number(f"SELECT sum(size) FROM origin_kept{only}") for only in ("", " WHERE synthetic"))
    count = work.number("SELECT count(*) FROM origin_kept WHERE synthetic")
    return {"documents": int(count), "characters": int(written), "share": written / whole if whole else 0.0}
