"""What reads the splits makes the same bytes, whatever the number of shards and whichever documents each holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.audit.config import AuditConfig
from data.baselines.config import BaselineConfig
from data.baselines.measure import measure_baselines
from data.documents.rows import DOCUMENTS
from data.documents.sharding import shard_of, split_files
from data.examples.config import CorpusExamples
from data.examples.make import make_examples
from data.shards.names import SPLITS
from data.splits.config import TRAIN_SIZE, SplitConfig
from data.tokens.config import PackConfig, TokenizerConfig
from data.tokens.pack import pack
from tests.data.audit.sharded import audit_shards
from tests.data.dedup.books import bytes_of, prose
from tests.data.splits.sharded import split_shards
from tests.data.tokens.sampled import fit_shards

BOOKS = {f"{(number * 7919) % 64 << 58:016x}": f"{prose(number % 22, 3)}\n\n{prose(number, 9)}" for number in range(24)}
LIMITS: dict[str, Any] = {"threads": 1, "memory": "500MB"}
Placed = Callable[[int, str], int]
DIVISIONS: dict[str, tuple[int, Placed]] = {
    "one shard": (1, lambda number, name: 0),
    "shards of ids in order": (3, lambda number, name: shard_of(name, 3)),
    "shards whose ids overlap, and an empty one": (5, lambda number, name: number % 4),
}


def _shards(folder: Path, count: int, placed: Placed) -> list[Path]:
    files = []
    for shard in range(count):
        names = [name for number, name in enumerate(sorted(BOOKS)) if placed(number, name) == shard]
        rows = [
            {"id": name, "title": f"Title {name}", "source": name[0], "text": BOOKS[name], "metadata": "{}", "synthetic": False}
            for name in names
        ]
        files.append(folder / f"shard{shard}.parquet")
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), files[-1])
    return files


def _read(folder: Path, splits: Sequence[Path]) -> dict[str, object]:
    """Make everything that is made from the splits; return its metrics and the digests of its files."""
    made = folder / "made"
    measured: dict[str, object] = {"examples": make_examples(splits, None, made / "examples", CorpusExamples())}
    tokens = TokenizerConfig(vocab_size=400, sample_bytes=9000)
    sizes = [split / TRAIN_SIZE for split in splits]
    measured["tokenizer"] = fit_shards(split_files(splits, "train"), sizes, folder / "steps", made / "tokenizer", tokens)
    files = {part: split_files(splits, part) for part in SPLITS}
    measured["pack"] = pack(files, made / "tokenizer", made / "examples", made / "packed", PackConfig(sequence_length=64), scratch=folder)
    found = measure_baselines(made / "packed", splits, made / "examples", BaselineConfig())
    measured["baseline"] = found.metrics
    measured["scores"] = {name: scores.nats.tolist() for name, scores in found.rows.items()}
    audited = folder / "audit"
    measured["audit"] = audit_shards({"split": splits}, splits, audited, AuditConfig(words=9), scratch=folder / "scratch", **LIMITS)
    return measured | {"files": bytes_of(made) | bytes_of(audited)}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every book is a cluster by itself."""
    path = tmp_path_factory.mktemp("clusters") / "clusters.parquet"
    pq.write_table(pa.table({"id": sorted(BOOKS), "cluster": sorted(BOOKS)}), path)
    return path


@pytest.mark.parametrize("mode", ["fractions", "passages", "all_train"])
def test_any_number_of_shards_gives_equal_examples_tokenizer_rows_baselines_and_audit(tmp_path: Path, clusters: Path, mode: str) -> None:
    config = SplitConfig.model_validate({"mode": mode, "train": 0.5, "val": 0.25, "test": 0.25})
    made: dict[str, dict[str, object]] = {}
    for number, (name, (count, placed)) in enumerate(DIVISIONS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        shards = _shards(folder, count, placed)
        splits, metrics = split_shards(shards, clusters, folder / "splits", config, scratch=folder / "scratch", **LIMITS)
        made[name] = {"splits": metrics, **_read(folder, splits)}
    first = json.dumps(made.pop("one shard"), sort_keys=True)
    assert [name for name, other in made.items() if json.dumps(other, sort_keys=True) != first] == []
