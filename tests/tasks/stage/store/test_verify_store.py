"""Verification reads everything, whatever is cached: each damage is named, and nothing else."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.stage.identity.digests import DigestCache, _row, _signature
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.garbage import verify_artifacts
from tasks.stage.store.index import Damaged
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.store.traces import save_trace
from tests.tasks.records import committed, ran

FILES = {"a.txt": b"alpha", "folder/b.txt": b"beta"}
TRACE = hashlib.sha256(b"[[]]").hexdigest()


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    url = str(tmp_path / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache", DigestCache(tmp_path / "digests.db"))


def change(store: Store, path: str, content: bytes) -> None:
    store.fs.pipe_file(f"{store.root}/{path}", content)


def lose(store: Store, path: str) -> None:
    store.fs.rm(f"{store.root}/{path}", recursive=True)


DAMAGES: dict[str, tuple[Callable[[Store, Artifact], object], str]] = {
    "changed": (lambda s, a: change(s, f"{a.files_at}/folder/b.txt", b"BETA"), "folder/b.txt does not match its record"),
    "cut": (lambda s, a: change(s, f"{a.files_at}/a.txt", b"al"), "a.txt has 2 bytes instead of 5"),
    "lost": (lambda s, a: lose(s, f"{a.files_at}/a.txt"), "a.txt is missing"),
    "a stray file": (lambda s, a: change(s, f"{a.files_at}/folder/c.txt", b""), "folder/c.txt is not in its record"),
    "its trace changed": (
        lambda s, a: change(s, f".traces/{a.trace}.json", b"[]"),
        f".traces/{TRACE}.json, which says what it has read, is missing or damaged",
    ),
    "its record changed": (lambda s, a: change(s, f"{a.location}/{RECORD}", b"{"), "artifact.json can't be read (ValidationError)"),
    "its record lost": (lambda s, a: lose(s, f"{a.location}/{RECORD}"), "artifact.json is missing"),
    "all of it lost": (lambda s, a: lose(s, a.location), "it is gone, and the newest run of toys used it"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_with_the_artifact_and_the_file(store: Store, damage: str) -> None:
    trace = save_trace(store, b"[[]]")
    made, sound = committed(store, FILES, trace=trace), committed(store, FILES, stage="dedup")
    ran(store, 1, made, sound)
    assert verify_artifacts(store).damaged == ()
    assert verify_artifacts(store).old == {"from before traces were recorded": 1}
    harm, problem = DAMAGES[damage]
    harm(store, made)
    found = verify_artifacts(store)
    assert found.damaged == (Damaged(made.location, (problem,)),)
    assert found.size == 9 * found.artifacts


def test_a_record_that_lies_elsewhere_than_it_says_is_damage(store: Store) -> None:
    made, other = committed(store, FILES), committed(store, FILES, name="other")
    content = store.fs.cat_file(f"{store.root}/{other.location}/{RECORD}")
    change(store, f"{made.location}/{RECORD}", content)
    assert verify_artifacts(store).damaged == (Damaged(made.location, (f"artifact.json belongs to {other.location}",)),)


def test_a_record_whose_digest_is_not_that_of_its_files_is_damage(store: Store) -> None:
    made = committed(store, FILES)
    change(store, f"{made.location}/{RECORD}", made.model_copy(update={"digest": "0" * 64}).sealed())
    assert verify_artifacts(store).damaged == (Damaged(made.location, ("the digest in artifact.json does not match its list of files",)),)


def test_what_the_disk_changed_by_itself_is_found_although_it_is_remembered_otherwise(tmp_path: Path) -> None:
    memory = DigestCache(tmp_path / "digests.db")
    store = Store(str(tmp_path / "store"), tmp_path / "cache", memory)
    made = committed(store, FILES)
    path = store.local(made) / "a.txt"
    path.write_bytes(b"ALPHA")
    os.utime(path, (0, 0))
    memory._store([_row(path, _signature(path.stat()), made.files[0].sha256)])
    assert store.find("clean", made.key) == made
    assert [damaged.location for damaged in verify_artifacts(store).damaged] == [made.location]


def test_while_a_run_is_under_way_a_folder_may_still_get_its_record(store: Store) -> None:
    committed(store, FILES)
    half = committed(store, FILES, name="half")
    lose(store, f"{half.location}/{RECORD}")
    with Journal(store).running(ran(store, 1, status="running")):
        assert verify_artifacts(store).damaged == ()
    assert verify_artifacts(store).damaged == (Damaged(half.location, ("artifact.json is missing",)),)


def test_what_only_an_older_run_used_may_be_gone(store: Store) -> None:
    old, new = committed(store, FILES, name="old"), committed(store, FILES, name="new")
    ran(store, 1, old)
    ran(store, 2, new)
    lose(store, old.location)
    assert verify_artifacts(store).damaged == ()
