"""A finished run's store is damaged and repaired: only what was damaged is made again, with the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.cli.commands.store import garbage_report, verify_store
from flows.services import servers
from tasks.stage.store.artifact import RECORD
from tasks.stage.store.store import Store
from tests.end_to_end.conftest import FinishedRun


@pytest.fixture
def copied(four_books: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the store of `four_books`, used with the session's Prefect server."""
    monkeypatch.setattr(servers, "ensure_prefect", servers.prefect_server)
    shutil.copytree(four_books.store.root, tmp_path / "store")
    return Store(str(tmp_path / "store"), tmp_path / "cache")


def test_damage_is_named_and_repaired(four_books: FinishedRun, copied: Store) -> None:
    tokenizer, pack, audit = (four_books.artifacts[place] for place in ("tokenizer", "pack", "audit"))
    model = copied.local(tokenizer) / "tokenizer.json"
    model.write_bytes(model.read_bytes().swapcase())
    (copied.local(pack) / pack.files[0].path).unlink()
    (copied.local(audit) / RECORD).unlink()
    text, well = verify_store(heal=False, as_json=False, store=copied.url)
    assert not well
    assert f"{tokenizer.location}: tokenizer.json does not match its record" in text
    assert f"{pack.location}: {pack.files[0].path} is missing" in text
    assert f"{audit.location}: {RECORD} is missing" in text
    assert "3 damaged" in text and "folio verify --heal" in text
    told, well = verify_store(heal=True, as_json=True, store=copied.url)
    healing = json.loads(told)["healing"]
    assert well
    assert set(healing["healed"]) == set(healing["aside"]) == {tokenizer.location, pack.location, audit.location}
    assert healing["left"] == {}
    made = ", ".join(sorted((tokenizer.location, pack.location, audit.location)))
    assert f"made {made}, reused {len(four_books.artifacts) - 3}" in healing["runs"]["four_books"]
    again = {record.location: record.digest for record in copied.records()}
    assert again == {record.location: record.digest for record in four_books.store.records()}
    assert verify_store(heal=False, as_json=False, store=copied.url)[1]


def test_garbage_collection_keeps_everything_of_a_recipe_s_only_run(four_books: FinishedRun, copied: Store) -> None:
    before = {record.location for record in copied.records()}
    told = json.loads(garbage_report(delete=True, keep=1, named=(), without=(), unrecorded=False, as_json=True, store=copied.url))
    assert {waste["kind"] for waste in told["waste"]} <= {"lock"}
    assert {record.location for record in copied.records()} == before
