"""Deduplication by partition gives the bytes of deduplication in one task, whatever the shards and partitions."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from data.dedup.config import DedupConfig, NearRule
from data.dedup.dedup import dedup
from data.documents import rows, slices, stream
from tests.data.dedup.books import bytes_of, prose, rows_of, write
from tests.data.dedup.copied_corpus import Rows, copied_corpus, write_shards
from tests.data.dedup.partitions import Partitioned

LINES, PASSAGES = {"line": {"enabled": True}}, {"substring": {"enabled": True, "min_words": 20}}
SHORT = {"page": {"min_words": 40}, "paragraph": {"min_characters": 150}}
CONFIGS = {
    "defaults": {},
    "every rule": {**SHORT, **LINES, **PASSAGES, "keep": ("title", "known_words", "longest")},
    "near copies stay": {**SHORT, **LINES, **PASSAGES, "near": {"action": "cluster"}, "keep": ("known_words",)},
    "within documents": {"paragraph": {"scope": "document"}, "line": {"enabled": True, "scope": "document"}, "keep": ("longest", "title")},
    "sources in order": {
        "keep": ("source", "longest"),
        "prefer_sources": ("third", "first"),
        "near": {"spelling": "folded", "threshold": 0.4},
    },
    "unlike copies": {"near": {"spelling": "folded", "threshold": 0.4}, **SHORT},
    "equal words alone": {"near": {"enabled": False}, **PASSAGES, "page": {"enabled": False}},
    "near alone": {"exact": False, "near": {"bucket": 2, "bands": 64, "rows": 2, "threshold": 0.3}, "paragraph": {"enabled": False}},
    "nothing compared": {"exact": False, "near": {"enabled": False}, "line": {"enabled": True, "documents": 2}},
}

BY_SHARD = ("documents", "sizes")
DIVIDED = [(2, 3), (5, 2), (2, 2), (1, 3), (2, 7), (2, 2), (5, 3), (2, 2), (1, 2)]
"""Shards and partitions, one pair for each config."""


def compare(folder: Path, scratch: Path, rows: Rows, config: DedupConfig, shards: int, partitions: int) -> dict[str, float]:
    """Require that one task and partitions make the same files and metrics of some documents, and return the metrics."""
    one = folder / "whole"
    if not one.exists():
        dedup(write_shards(folder / "one", rows, 1), one, config, threads=1, memory="500MB", scratch=scratch / "one")
    given = write_shards(folder / f"shards-{shards}-{partitions}", rows, shards)
    expected = dedup(given, folder / f"whole-{shards}-{partitions}", config, threads=1, memory="500MB", scratch=scratch / "whole")
    work, output = folder / f"parts-{shards}-{partitions}", folder / f"out-{shards}-{partitions}"
    assert Partitioned(work, given, config, partitions, scratch).run(output) == expected
    made, whole = bytes_of(output), bytes_of(one)
    assert made == bytes_of(folder / f"whole-{shards}-{partitions}")
    by_shard = {name for name in made if name.startswith(BY_SHARD)}
    assert by_shard == {f"{kind}/{number:04}.parquet" for kind in BY_SHARD for number in range(shards)}
    assert {name: made[name] for name in made.keys() - by_shard} == {n: whole[n] for n in whole if not n.startswith(BY_SHARD)}
    assert all(rows_of(output, kind) == rows_of(one, kind) for kind in BY_SHARD)
    return expected


@pytest.mark.parametrize(("name", "shards", "partitions"), [(name, *divided) for name, divided in zip(CONFIGS, DIVIDED, strict=True)])
def test_partitions_give_the_bytes_and_metrics_of_one_task(tmp_path: Path, scratch: Path, name: str, shards: int, partitions: int) -> None:
    config = DedupConfig.model_validate(CONFIGS[name])
    metrics = compare(tmp_path, scratch, copied_corpus(list(CONFIGS).index(name)), config, shards, partitions)
    if name == "every rule":
        for rule in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed", "lines_removed", "substrings_removed"):
            assert metrics[rule], rule


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), list(product(CONFIGS, (11, 12))))
def test_no_number_of_shards_and_partitions_changes_a_byte(tmp_path: Path, scratch: Path, name: str, seed: int) -> None:
    config = DedupConfig.model_validate(CONFIGS[name])
    for shards, partitions in product((1, 2, 5), (2, 3, 7)):
        compare(tmp_path, scratch, copied_corpus(seed), config, shards, partitions)


def test_partitions_decide_a_chain_as_one_task_does(tmp_path: Path, scratch: Path) -> None:
    words = prose(5, paragraphs=1, sentences=60).split()
    rows = [{"id": f"{k:02}", "text": " ".join(words[k * 20 : k * 20 + 140])} for k in range(20)]
    filled: Rows = [{"title": "", "source": "s", "metadata": "{}", "synthetic": False, **row} for row in rows]
    metrics = compare(tmp_path, scratch, filled, DedupConfig(near=NearRule(threshold=0.6)), 2, 2)
    assert 8 <= metrics["documents_near"] <= 12 and metrics["clusters"] == 1


def test_row_groups_of_few_rows_change_no_decision(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "GROUP_ROWS", 7)
    monkeypatch.setattr(stream, "BATCH_CHARACTERS", 4000)
    monkeypatch.setattr(rows, "GROUP_CHARACTERS", 500)
    compare(tmp_path, scratch, copied_corpus(21), DedupConfig.model_validate(CONFIGS["every rule"]), 2, 2)


def test_ids_that_do_not_ascend_are_refused_by_name(tmp_path: Path, scratch: Path) -> None:
    folder = tmp_path / "in"
    mixed = write(folder / "mixed", {"a": prose(1), "b": prose(2)}, order=["b", "a"])
    with pytest.raises(ValueError, match=r"ids in documents.parquet don't ascend.*set dedup.partitions=1"):
        Partitioned(tmp_path / "mixed", [mixed], DedupConfig(), 2, scratch).run(tmp_path / "out")
    shards = [write(folder / name, {name: prose(3)}) for name in ("d", "c")]
    with pytest.raises(ValueError, match=r"ids don't ascend through the shards: c comes after d.*set dedup.partitions=1"):
        Partitioned(tmp_path / "shards", shards, DedupConfig(), 2, scratch).run(tmp_path / "out")
