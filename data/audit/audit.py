"""The audit of a corpus: how much held-out text leaks into train, the fate of every document, and what the corpus is made of.

It only measures; a gate judges. Joins what `survey` and `overlap` found in each shard, over ids, hashes and numbers; DuckDB keeps to the
memory it is given. The result does not depend on which shard holds which document.

`funnel.json`, format 2. Counts are of documents, of pieces (as the rule counts) or of characters:
- `stages`: in order, `stage`, `documents_in`, `documents`, `characters_in`, `characters`; `documents_removed` and `characters_removed`
  (whole documents: removed, duplicate, quarantined), `characters_cut` (text taken out of documents), `characters_changed` (by how much
  edits shortened the rest; negative: lengthened), so that in = kept + removed + cut + changed; `balanced`, and if it isn't, `fault`, which
  names a document; `rules`: action -> rule -> `documents`, `pieces`, `characters` (affected), `net` (characters fewer because of it).
- `splits`: `split`, `documents`, `characters`, `sources` (name -> documents, characters), `synthetic` (share of the characters).
- `documents_kept`, `characters_kept`: in all splits together, each document once.
- `sources`, `formats`: name -> `documents_in`, `characters_in`, `documents`, `characters`; `languages`: name -> `documents`, `characters`.
- `quarantined`: reason -> `files` and the first few, `shown`. `title_mismatches`: `documents` whose text isn't what their file name says,
  and the first 50, `shown`: `id`, `source`, `path`, and the `title` found. `synthetic`: `documents`, `characters`, `share` of the
  characters kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from data.audit.composition import composition
from data.audit.config import FORMAT, AuditConfig
from data.audit.funnel import funnel
from data.audit.leaks import report_leaks
from data.audit.survey import SPLIT, SPLITS, read_surveys
from data.documents.database import Database, Limits, open_database


class Shards(NamedTuple):
    """What the audit reads of all shards, in their order.

    `surveyed` and `overlaps`: the folders of `survey` and `overlap`. `held_out`: the files of val and of test. `ledgers`: of each stage, in
    the order of the stages; deduplication has one for all shards. `quarantined`: the tables of files that the first stage could not read.
    """

    surveyed: Sequence[Path]
    overlaps: Sequence[Path]
    held_out: Mapping[str, Sequence[Path]]
    ledgers: Mapping[str, Sequence[Path]]
    quarantined: Sequence[Path] = ()


def audit(shards: Shards, output: Path, config: AuditConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write `leaks.parquet`, `leaked_documents.parquet` and `funnel.json` into `output`.

    Return leaks as shares, counts of documents and characters before and after, the synthetic share, and `balanced`: 1 if every stage
    accounts for every document and character, and the splits hold what the last stage left.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        read_surveys(work, shards.surveyed)
        metrics = report_leaks(work, shards.overlaps, shards.held_out, output, config)
        stages = funnel(work, shards.ledgers)
        parts = composition(work, next(iter(shards.ledgers), SPLIT), shards.quarantined)
        kept = f"FROM left_documents WHERE stage = '{SPLIT}'"
        report: dict[str, Any] = {
            "format": FORMAT,
            "stages": stages,
            "splits": [_split(work, part) for part in SPLITS],
            "documents_kept": int(work.number(f"SELECT count(DISTINCT id) {kept}")),
            "characters_kept": int(work.number(f"SELECT sum(characters) {kept}")),
            **parts,
        }
    (output / "funnel.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return metrics | _metrics(report)


def _metrics(report: Mapping[str, Any]) -> dict[str, float]:
    stages = report["stages"]
    metrics = {f"{what}_removed_{entry['stage']}": entry[f"{what}_removed"] for entry in stages for what in ("documents", "characters")}
    for what in ("documents", "characters"):
        metrics[f"{what}_kept"] = report[f"{what}_kept"]
        metrics[f"{what}_in"] = stages[0][f"{what}_in"] if stages else report[f"{what}_kept"]
    whole = not stages or all(stages[-1][what] == report[f"{what}_kept"] for what in ("documents", "characters"))
    metrics["balanced"] = whole and all(entry["balanced"] for entry in stages)
    metrics["quarantined_files"] = sum(entry["files"] for entry in report["quarantined"].values())
    metrics["title_mismatches"] = report["title_mismatches"]["documents"]
    metrics["synthetic_share"] = report["synthetic"]["share"]
    return {name: float(value) for name, value in metrics.items()}


def _split(work: Database, name: str) -> dict[str, Any]:
    """Count documents and characters of a split, in total and by source, and the share that a machine wrote."""
    rows = work.connection.execute(
        f"""SELECT source, count(*), sum(characters)::BIGINT, coalesce(sum(characters) FILTER (synthetic), 0)::BIGINT
        FROM described WHERE part = '{name}' GROUP BY source ORDER BY source"""
    ).fetchall()
    documents, characters, synthetic = (sum(row[column] for row in rows) for column in (1, 2, 3))
    sources = {source: {"documents": count, "characters": size} for source, count, size, _ in rows}
    share = synthetic / characters if characters else 0.0
    return {"split": name, "documents": documents, "characters": characters, "sources": sources, "synthetic": share}
