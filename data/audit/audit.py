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
- `quarantined`: reason -> `files` and the first few, `shown`; what was left out of documents that are kept by its kind, such as `not read:
  comments`, with its `size` and the size's `unit`. `title_mismatches`: `documents` whose text isn't what their file name says,
  and the first 50, `shown`: `id`, `source`, `path`, and the `title` found. `synthetic`: `documents`, `characters`, `share` of the
  characters kept.

The corpus funnel: documents and characters after each stage, and what each rule removed.

Reads the ledgers of each stage, and from the surveys which documents it left. `balanced` says that the ledgers account for every document
and character of a stage across its shards, by the rule of `data.documents.ledger`; otherwise `fault` names the first document that doesn't
add up. Costs one pass over ids and lengths; DuckDB holds them and spills.

Surveys a shard of the corpus for the audit: what each stage left of it, and the n-grams of its held-out texts.

Texts become lengths and hashes here, so that the audit can join all shards without them. Costs one pass over the texts of each stage.
Memory holds a few megabytes of them; DuckDB holds the n-grams and spills.

The composition of a corpus: sources, formats, languages, quarantined files and why, wrong titles, and the synthetic share.

Every count is one grouping in SQL over documents and their metadata; a property that no document has is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from data.audit.config import DESCRIBED, FORMAT, GRAMS, AuditConfig, GramConfig
from data.audit.leaks import define_grams, report_leaks, run_on_texts
from data.audit.sql import SQL
from data.documents.database import Database, Limits, by_shard, open_database, parquet
from data.documents.ledger import CLOSING, imbalance
from data.documents.slices import write_table
from data.shards.names import SPLITS

GONE = tuple(action for action in CLOSING if action != "kept")


def funnel(work: Database, ledgers: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Return one entry for each stage of `ledgers`, which maps stages to the ledgers of their shards; `work` has read the surveys.

    Raise FileNotFoundError, naming the stage, if a ledger is missing.
    """
    stages: list[dict[str, Any]] = []
    for stage, files in ledgers.items():
        if missing := [file for file in files if not file.exists()]:
            raise FileNotFoundError(f"stage {stage} has no ledger at {missing[0]}; the funnel cannot account for it")
        work.connection.execute(f"CREATE OR REPLACE VIEW funnel_ledger AS SELECT * FROM {parquet(files)}")
        left = f"SELECT id, characters AS size FROM left_documents WHERE stage = '{stage}'"
        work.connection.execute(f"CREATE OR REPLACE TABLE funnel_stayed AS {left}")
        if not stages:
            work.run_file(SQL / "first_stage.sql")
        stages.append(_stage(work, stage))
        work.connection.execute("DROP TABLE funnel_came")
        work.connection.execute("ALTER TABLE funnel_stayed RENAME TO funnel_came")
    return stages


def _stage(work: Database, stage: str) -> dict[str, Any]:
    fault = imbalance(work, stage, "funnel_came", "funnel_stayed", "funnel_ledger")
    rules: dict[str, dict[str, dict[str, int]]] = {}
    net_of = {"removed": 0, "cut": 0, "changed": 0}
    for action, rule, documents, pieces, characters, net in work.connection.execute((SQL / "rules.sql").read_text("utf-8")).fetchall():
        rules.setdefault(action, {})[rule] = {"documents": documents, "pieces": pieces, "characters": characters, "net": net}
        net_of["removed" if action in GONE else action] += net
    counts = {}
    for when, table in (("_in", "funnel_came"), ("", "funnel_stayed")):
        counts[f"documents{when}"] = int(work.number(f"SELECT count(DISTINCT id) FROM {table}"))
        counts[f"characters{when}"] = int(work.number(f"SELECT sum(size) FROM {table}"))
    removed = sum(counted["documents"] for action in GONE for counted in rules.get(action, {}).values())
    net_characters = {f"characters_{how}": net for how, net in net_of.items()}
    entry = {"documents_removed": removed, **net_characters, "balanced": not fault, "rules": rules}
    return {"stage": stage, **counts, **entry, **({"fault": fault} if fault else {})}


SPLIT = "split"
HELD_OUT = ("val", "test")


def survey(stages: Mapping[str, Path], splits: Path, output: Path, config: GramConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write what the audit needs of a shard, without texts, into `output`.

    `stages`: the shard's documents after each stage before the split; `splits`: the folder with its three splits.
    described.parquet: a row for each document and stage, and for each split that has the document: stage, part (the split, or empty), id,
    source, title, path, format, language, mistitled, synthetic, characters. grams.parquet: part, id, position (of the first word, from 1)
    and gram (its hash) of each n-gram of validation and test. Return the number of these n-grams.
    """
    output.mkdir(parents=True, exist_ok=True)
    files = {(stage, ""): path for stage, path in stages.items()} | {(SPLIT, part): splits / f"{part}.parquet" for part in SPLITS}
    with open_database(**limits) as work:
        work.run_file(SQL / "survey.sql")
        for (stage, part), path in files.items():
            work.set_variables(stage=stage, part=part)
            work.connection.execute(f"CREATE OR REPLACE VIEW document AS FROM {parquet([path])}")
            work.run_file(SQL / "describe.sql")
        define_grams(work, config)
        for part in HELD_OUT:
            run_on_texts(work, SQL / "held_out.sql", part, files[SPLIT, part])
        write_table(work, "FROM described", output / DESCRIBED)
        write_table(work, "FROM held_out", output / GRAMS)
        return {"ngrams": work.number("SELECT count(*) FROM held_out")}


def read_surveys(work: Database, surveyed: Sequence[Path]) -> None:
    """Read the surveys of all shards, in order: table `described`, with the number of the shard, and views `held_out`, `left_documents`.

    `left_documents`: what each stage left, each text once; if val and test are copies of train, train alone.
    """
    work.connection.execute(f"CREATE TABLE described AS {by_shard([folder / DESCRIBED for folder in surveyed])}")
    work.connection.execute(f"CREATE VIEW held_out AS FROM {parquet([folder / GRAMS for folder in surveyed])}")
    held_out, train = (f"(FROM described WHERE part {which})" for which in ("IN ('val', 'test')", "= 'train'"))
    outside = work.number(f"SELECT count(*) FROM {held_out} ANTI JOIN {train} USING (id, characters)")
    copies = "" if outside else "WHERE part NOT IN ('val', 'test')"
    work.connection.execute(f"CREATE VIEW left_documents AS FROM described {copies}")


TITLES_SHOWN = 50
FILES_SHOWN = 5
# The reason of a row for what lies inside a document whose text is kept.
LEFT_OUT = r"^not read: (.+?), ([0-9][0-9,]*) (characters|bytes) in "
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
        f"""SELECT CASE WHEN part.kind <> '' THEN 'not read: ' || part.kind ELSE split_part(reason, ':', 1) END AS why, count(*),
            list(source || '/' || CASE WHEN part.kind <> '' THEN replace(path, '#' || part.kind, '') ELSE path END
                ORDER BY source, path)[:{FILES_SHOWN}],
            sum(try_cast(replace(part.size, ',', '') AS BIGINT))::BIGINT, min(part.unit)
        FROM (SELECT *, regexp_extract(reason, ?, ['kind', 'size', 'unit']) AS part FROM {parquet(files)})
        GROUP BY why ORDER BY why""",
        [LEFT_OUT],
    ).fetchall()
    sizes = {why: {"size": size, "unit": unit} if size else {} for why, _, _, size, unit in rows}
    return {why: {"files": count, "shown": shown, **sizes[why]} for why, count, shown, _, _ in rows}


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


class Shards(NamedTuple):
    """The audit's input from all shards, in their order.

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
