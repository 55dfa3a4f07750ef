"""Surveys a shard of the corpus for the audit: what each stage left of it, and the n-grams of its held-out texts.

Texts become lengths and hashes here, so that the audit can join all shards without them. Costs one pass over the texts of each stage.
Memory holds a few megabytes of them; DuckDB holds the n-grams and spills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from data.audit.config import DESCRIBED, GRAMS, GramConfig
from data.audit.grams import define_grams, run_on_texts
from data.audit.sql import SQL
from data.documents.database import Database, Limits, by_shard, open_database, parquet
from data.documents.slices import write_table

SPLIT = "split"
HELD_OUT = ("val", "test")
SPLITS = ("train", *HELD_OUT)


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
