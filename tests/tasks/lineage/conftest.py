"""What tests of lineage share: a store with a corpus."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import Corpus


@pytest.fixture(params=["disk", "memory"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    """A run over a few books, in a store on disk and in an object store."""
    url = str(tmp_path / "store [old]*") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    made = Corpus(Store(url, tmp_path / "cache"))
    made.run()
    return made
