"""Cleaning against the ground truth of a generated universe: faults are repaired and correct text is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.sources.config import IngestConfig
from data.sources.ingest import IngestInputs, ingest
from data.universe.config import UniverseSource
from data.universe.score import score
from data.universe.write import write_universe

SHARDS = 8


@dataclass(frozen=True)
class Part:
    number: int
    count: int


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 11, 23])
def test_cleaning_restores_99_percent_of_faults_and_damages_at_most_1_in_1000_characters(seed: int, tmp_path: Path) -> None:
    source = UniverseSource(seed=seed)
    write_universe(tmp_path / "world", source)
    around = IngestInputs(tmp_path, tmp_path, tmp_path / "world" / "books")
    limits: Any = {"threads": 1, "memory": "500MB", "scratch": tmp_path / "scratch"}
    for number in range(SHARDS):
        ingest(IngestConfig(sources=(source,)), tmp_path / "in" / str(number), around, Part(number, SHARDS), **limits)
        documents = tmp_path / "in" / str(number) / "documents.parquet"
        clean(documents, tmp_path / "out" / str(number), CleanConfig(), **limits)
    cleaned = [tmp_path / "out" / str(number) / "documents.parquet" for number in range(SHARDS)]
    figures = score(tmp_path / "world" / "truth", cleaned, cleaned[0])
    assert figures["clean_recall"] >= 0.99 and figures["false_edit_share"] <= 0.001, figures
    by_kind = {name: share for name, share in figures.items() if name.startswith("clean_recall_")}
    assert len(by_kind) > 9 and min(by_kind.values()) >= 0.97, by_kind
