"""Benchmarks can still be run: each is imported, and the corpus one makes a corpus of a small pile."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.benchmarks.corpus import SHARDS, folio, write_jsonl
from tests.benchmarks.ours import Order

ELSEWHERE = {"peer"}  # run by a Python that has datatrove
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("test_", "__")))


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ELSEWHERE])
def test_each_finds_what_it_measures(name: str) -> None:
    import_module(f"tests.benchmarks.{name}")


def test_of_a_pile_every_document_is_read_and_those_made_to_be_removed_are(tmp_path: Path) -> None:
    count, _ = write_jsonl(tmp_path / "jsonl", 0.8)
    order = Order(str(tmp_path / "jsonl"), str(tmp_path / "made"), SHARDS, 1, "500MB", True, True, True, 5, 14, 8)
    kept = folio(order).kept
    assert list(kept) == ["ingest", "clean", "filter", "dedup"] and kept["ingest"] == count
    assert kept["ingest"] > kept["clean"] > kept["filter"] > kept["dedup"] > count / 2
