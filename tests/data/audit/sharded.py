"""The audit without a flow: the survey and the overlap of each shard, and the audit of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.audit.audit import HELD_OUT, Shards, audit, survey
from data.audit.config import AuditConfig
from data.audit.leaks import overlap
from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS, split_files


def audit_shards(
    stages: Mapping[str, Sequence[Path]], splits: Sequence[Path], output: Path, config: AuditConfig, **limits: Any
) -> dict[str, float]:
    """Audit a corpus into `output`. `stages`: the folders of each stage's shards, or the one folder of a stage that leaves all shards."""
    steps = output.with_name(f"{output.name}-steps")
    surveyed = survey_shards(stages, splits, steps / "surveyed", config, **limits)
    grams = [folder / "grams.parquet" for folder in surveyed]
    overlaps = [steps / "overlaps" / str(number) for number in range(len(splits))]
    for folder, found in zip(splits, overlaps, strict=True):
        overlap(folder / "train.parquet", folder / "val.parquet", grams, found, config.comparing, **limits)
    held_out = {part: split_files(splits, part) for part in HELD_OUT}
    ledgers = {stage: [folder / "ledger.parquet" for folder in folders] for stage, folders in stages.items()}
    aside = [folder / "quarantine.parquet" for folders in stages.values() for folder in folders]
    shards = Shards(surveyed, overlaps, held_out, ledgers, [path for path in aside if path.exists()])
    return audit(shards, output, config, **limits)


def survey_shards(
    stages: Mapping[str, Sequence[Path]], splits: Sequence[Path], output: Path, config: AuditConfig, **limits: Any
) -> list[Path]:
    """Survey each shard into `output`/0, `output`/1 and so on; return these folders."""
    made = [output / str(number) for number in range(len(splits))]
    for number, (folder, target) in enumerate(zip(splits, made, strict=True)):
        left = {stage: _documents(folders, number) for stage, folders in stages.items() if stage != "split"}
        survey(left, folder, target, config.comparing, **limits)
    return made


def _documents(folders: Sequence[Path], number: int) -> Path:
    """Return the documents of a shard."""
    joined = folders[0] / SHARD_DOCUMENTS.format(number)
    return joined if joined.exists() else folders[number] / DOCUMENTS
