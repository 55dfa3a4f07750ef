"""What tests of the page share: a store of a few books, laid out as a run leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import Corpus

RUN = "20260102T030405-abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store on disk."""
    return Store(str(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def corpus(store: Store) -> Corpus:
    """A run over a few books, whose id is RUN."""
    made = Corpus(store)
    made.run()
    made.record(RUN)
    return made
