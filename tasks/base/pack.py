"""Pack: cut documents into token rows of equal length, with some training conversations mixed in."""

from __future__ import annotations

from pathlib import Path

from data.documents.sharding import split_files
from data.provenance.tables import splits_of
from data.tokens.config import PackConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.corpus import CORPUS
from tasks.reporting.hook import ReportHook
from tasks.reporting.tokens import PACKING
from tasks.stage.stage import Metrics, Workspace, stage

SPLITS = ("train", "val", "test")


def _inspect(inspection: Inspection) -> Holding:
    """The index lists the rows of each document. Conversations made from it are mixed into train."""
    rows = inspection.read("documents.parquet", splits_of)
    mixed = any(conversations.parts for conversations in inspection.inputs_named("conversations"))
    detail = ", ".join(f"{split} rows {first} to {last}" for split, (first, last) in sorted(rows.items()))
    return inspection.holding({*rows, *(("train",) if mixed else ())}, detail=detail)


@stage(hooks=(LineageHook(_inspect), ReportHook(CORPUS, PACKING)))
def pack(config: PackConfig, work: Workspace, splits: list[Path], tokenizer: Path, conversations: Path) -> Metrics:
    """Splits of each shard -> train/ val/ test/ token shards, accounting/."""
    from data.tokens.pack import pack as pack_splits

    files = {name: split_files(splits, name) for name in SPLITS}
    return pack_splits(files, tokenizer, conversations, work.output, config, scratch=work.scratch)
