"""`folio corpus removed`: the tables of what rules took away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flows.cli.columns import columns
from flows.cli.diff_rendering import printable
from flows.cli.lineage import library_at
from tasks.lineage.chain import Chain, chain_of
from tasks.lineage.removed import Taken, removed_tables, rows_taken, taken_by
from tasks.lineage.story import names_of

EXCERPT, SHOWN = 160, 20


def what_was_removed(rule: str = "", recipe: str = "", *, limit: int | None = None, as_json: bool = False, store: str = "") -> str:
    """The tables of a run, or the rows of those of one rule, as text or JSON. Raises LookupError for a rule that took nothing.

    A recipe that ran, given alone, is taken for the recipe whose tables are to be listed.
    """
    library = library_at(store)
    if rule and not recipe and any(run.recipe == rule for run in library.journal.records()):
        rule, recipe = "", rule
    chain = chain_of(library, recipe)
    tables = taken_by(chain, rule) if rule else removed_tables(chain)
    if not rule and limit:
        raise ValueError("--limit counts the rows of one rule's table; name the RULE, or leave it out.")
    if not rule:
        return json.dumps([_plain(chain, taken) for taken in tables], indent=1) if as_json else printable("\n".join(_listed(chain, tables)))
    opened = [(taken, _rows(chain, taken, limit or SHOWN)) for taken in tables]
    if as_json:
        return json.dumps([_plain(chain, taken) | {"taken": rows} for taken, rows in opened], indent=1, ensure_ascii=False)
    return "\n".join(line for taken, rows in opened for line in _opened(chain, taken, rows))


def _rows(chain: Chain, taken: Taken, limit: int) -> list[dict[str, Any]]:
    rows = list(rows_taken(chain, taken, limit))
    names = names_of(chain, {row["id"] for row in rows})
    return [{"id": row["id"], "document": names.get(row["id"], ""), **row} for row in rows]


def _plain(chain: Chain, taken: Taken) -> dict[str, Any]:
    return {"stage": taken.stage, "rule": taken.rule, "rows": taken.rows, "files": taken.places(chain.library.store.root)}


def _listed(chain: Chain, tables: list[Taken]) -> Iterator[str]:
    yield chain.words
    if not tables:
        yield "no rule took anything"
        return
    root = chain.library.store.root
    rows = [(taken.stage, taken.rule, f"{taken.rows:,}", _where(taken, root)) for taken in tables]
    yield from columns([("stage", "rule", "pieces", "table"), *rows], frozenset({2}))


def _where(taken: Taken, root: str) -> str:
    first, *others = taken.places(root)
    return f"{first}{f' and in {len(others)} more shards' if others else ''}"


def _opened(chain: Chain, taken: Taken, rows: list[dict[str, Any]]) -> Iterator[str]:
    more = f", the first {len(rows):,}" if len(rows) < taken.rows else ""
    yield f"{taken.stage}/{taken.rule} in {chain.words}: {taken.rows:,} pieces{more}"
    yield _where(taken, chain.library.store.root)
    for row in rows:
        place = f", place {row['place']:,}" if row["place"] else ", the whole document"
        detail = f", {row['detail']}" if row["detail"] else ""
        yield printable(f"\n{row['id']} {row['document']}{place}, {len(row['text']):,} characters{detail}")
        text = " ⏎ ".join(row["text"][: 2 * EXCERPT].split("\n"))
        yield printable(f"  {text[:EXCERPT]}{'…' if len(row['text']) > EXCERPT else ''}")
    yield ""
