"""What rules took, as a few examples of each: the first words of the first rows of the removed tables, and the files that were put aside.

Costs reading the beginning of a file a rule, and the row of each document that is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from data.provenance.edits import removed_file
from data.provenance.tables import first_rows, rows_of
from tasks.lineage.graph import without_shard
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Row, Table
from tasks.reporting.wording import count, words

RULES, LOOKED_AT, EXCERPT, TITLES = 12, 32, 180, 8


def example_tables(evidence: Evidence, funnel: Mapping[str, Any]) -> Iterator[Table]:
    """The tables that have something to show."""
    taken = sorted(
        ((entry["characters"], stage["stage"], rule) for stage in funnel["stages"] for action, rules in stage["rules"].items()
         if action != "changed" for rule, entry in rules.items()),
        key=lambda one: (-one[0], one[1:]),
    )  # fmt: skip
    rows = [row for _, stage, rule in taken if (row := _example(evidence, stage, rule))][:RULES]
    if rows:
        yield Table("What rules took, an example of each", ("stage", "rule", "from", "text"), tuple(rows), widths=(13, 15, 20, 52))
    aside = [Row((why, count(entry["files"]), ", ".join(entry["shown"][:3]))) for why, entry in funnel["quarantined"].items()]
    if aside:
        yield Table("Files that were put aside", ("reason", "files", "such as"), tuple(aside), right=frozenset({1}), widths=(30, 10, 60))
    wrong = funnel["title_mismatches"]
    titles = [Row((f"{row['source']}/{row['path']}", row["title"])) for row in wrong["shown"][:TITLES]]
    if titles:
        more = f"{count(wrong['documents'])} in all; folio corpus stats --json lists them." if wrong["documents"] > len(titles) else ""
        yield Table(
            "Files whose text says another title than their name", ("file", "title found"), tuple(titles), note=more, widths=(50, 50)
        )


def _example(evidence: Evidence, stage: str, rule: str) -> Row | None:
    """The first piece that a rule took and that has words; None where no shard kept one."""
    file = removed_file(rule)
    for place, artifact in evidence.artifacts.items():
        if without_shard(place) != stage or not any(known.path == file for known in artifact.files):
            continue
        with (evidence.folder(artifact) / file).open("rb") as stream:
            found = next((row for row in first_rows(stream, LOOKED_AT) if row["text"].strip()), None)
        if found is not None:
            text = " ".join(found["text"].split())
            shown = f"{text[:EXCERPT]}…" if len(text) > EXCERPT else text
            return Row((stage, words(rule), _path(evidence, found["id"]), shown))
    return None


def _path(evidence: Evidence, identity: str) -> str:
    for place, artifact in evidence.artifacts.items():
        if without_shard(place) == "ingest":
            with (evidence.folder(artifact) / "documents.parquet").open("rb") as stream:
                if found := next(rows_of(stream, identity, ("id", "metadata")), None):
                    return str(json.loads(found["metadata"]).get("path", identity))
    return identity
