"""A commit is of one writer, whole and the first: whoever comes later uses it, and whoever has lost the lock commits nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.stage.store.artifact import RECORD, Artifact, seal
from tasks.stage.store.garbage import collect_garbage
from tasks.stage.store.store import Store
from tasks.stage.system.locks import LeaseLost, Lock
from tests.s3_server import BUCKET, s3_server
from tests.tasks.records import OnlyWriter, artifact, ran, written

FIRST = {"a.txt": b"first", "folder/b.txt": b"first"}
SECOND = {"a.txt": b"second", "folder/b.txt": b"second", "c.txt": b"second"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The environment of an S3 server."""
    pytest.importorskip("s3fs")
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store."""
    urls = {"disk": str(tmp_path / "store"), "memory": f"memory://{uuid.uuid4().hex}", "s3": f"s3://{BUCKET}/{uuid.uuid4().hex}"}
    if request.param == "s3":
        for name, value in request.getfixturevalue("bucket").items():
            monkeypatch.setenv(name, value)
    return Store(urls[request.param], tmp_path / "cache", seconds=1.0)


class Suspended(Lock):
    """The lock of a writer for whom the clock stood still after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__(uuid.uuid4().hex)
        self.looks = looks

    def held(self) -> bool:
        """True for the first looks."""
        self.looks -= 1
        return self.looks >= 0


def commit(store: Store, contents: dict[str, bytes], lock: Lock | None = None, instead_of: Artifact | None = None) -> Artifact:
    """Commit files for the one key of these tests."""
    made = written(store.scratch(uuid.uuid4().hex) / "output", contents)
    # A metric that is no number equals not even itself.
    return store.commit(made, artifact(made, metrics={"loss": float("nan")}), lock or OnlyWriter(uuid.uuid4().hex), instead_of)


def same(found: object, made: Artifact) -> bool:
    """Whether something is this artifact's record."""
    return isinstance(found, Artifact) and found.sealed() == made.sealed()


def bytes_of(store: Store, made: Artifact) -> dict[str, bytes]:
    """The files in an artifact's folder, listed ones or not."""
    store.fs.invalidate_cache()
    folder = f"{store.root}/{made.files_at}"
    found = {str(path)[len(folder) + 1 :]: path for path in store.fs.find(folder)}
    return {name: store.fs.cat_file(path) for name, path in found.items() if name != RECORD}


def test_a_writer_that_comes_second_uses_the_first_one_s_artifact_and_leaves_nothing(store: Store) -> None:
    first = commit(store, FIRST)
    record = store.fs.cat_file(f"{store.root}/{first.location}/{RECORD}")
    assert same(commit(store, SECOND), first)
    assert store.fs.cat_file(f"{store.root}/{first.location}/{RECORD}") == record
    assert bytes_of(store, first) == FIRST
    assert same(store.find("clean", first.key, digests=True), first)
    if store.local_root is None:
        names = {str(path).rpartition("/")[2] for path in store.fs.ls(f"{store.root}/{first.location}", detail=False)}
        assert names == {RECORD, first.folder}


def test_a_writer_that_has_lost_the_lock_commits_nothing(store: Store) -> None:
    with pytest.raises(LeaseLost, match=r"clean/toys-.*: this process was suspended.* run the same command again"):
        commit(store, FIRST, Suspended(0))
    assert list(store.records()) == []
    second = commit(store, SECOND)
    assert bytes_of(store, second) == SECOND
    with pytest.raises(LeaseLost):
        commit(store, FIRST, Suspended(0), instead_of=second)
    assert bytes_of(store, second) == SECOND


def test_a_refresh_replaces_the_record_that_it_names_and_no_other(store: Store) -> None:
    first = commit(store, FIRST)
    second = commit(store, SECOND, instead_of=first)
    assert same(store.find("clean", first.key, digests=True), second)
    assert bytes_of(store, second) == SECOND
    # It knows the first one only, so what came meanwhile stays.
    assert same(commit(store, FIRST, instead_of=first), second)
    assert bytes_of(store, second) == SECOND


def test_a_record_from_before_writers_had_folders_is_intact_and_can_be_refreshed(store: Store) -> None:
    made = written(store.scratch("old") / "output", FIRST)
    record = artifact(made)
    for name, content in FIRST.items():
        store.fs.makedirs(f"{store.root}/{record.location}/folder", exist_ok=True)
        store.fs.pipe_file(f"{store.root}/{record.location}/{name}", content)
    text = record.model_dump_json(indent=1, exclude={"folder"})
    store.fs.pipe_file(f"{store.root}/{record.location}/{RECORD}", seal(text))
    if store.local_root is None:
        store.fs.pipe_file(f"{store.root}/{record.location}/{'e' * 32}/a.txt", b"of a writer at work")
    (before,) = store.records()
    assert same(store.find("clean", record.key, digests=True), before)
    assert bytes_of(store, commit(store, SECOND, instead_of=before)) == SECOND


def test_what_a_refresh_has_replaced_and_what_late_writers_left_is_garbage_and_the_artifact_stays(store: Store) -> None:
    first = commit(store, FIRST)
    second = commit(store, SECOND, instead_of=first)
    ran(store, 1, second)
    if store.local_root is None:
        store.fs.pipe_file(f"{store.root}/{second.location}/{'e' * 32}/a.txt", b"of a writer that was killed")
    found = collect_garbage(store, delete=True, keep=1)
    replaced = [garbage for garbage in found.garbage if garbage.kind == "folder without record"]
    assert len(replaced) == (1 if store.local_root is not None else 2)
    assert same(store.find("clean", second.key, digests=True), second)
    assert [garbage for garbage in collect_garbage(store, delete=False, keep=1).garbage if garbage.kind != "work in progress"] == []


def test_a_damaged_artifact_is_quarantined_by_the_next_commit_and_what_the_writer_has_brought_stays_whole(store: Store) -> None:
    first = commit(store, FIRST)
    store.fs.pipe_file(f"{store.root}/{first.files_at}/a.txt", b"rot")
    second = commit(store, SECOND)
    assert bytes_of(store, second) == SECOND
    assert same(store.find("clean", second.key, digests=True), second)
    quarantined = [str(path).rpartition("/")[2] for path in store.fs.find(f"{store.root}/.quarantine")]
    assert {"a.txt", "b.txt", RECORD, "damage.txt"} <= set(quarantined)
    store.fs.pipe_file(f"{store.root}/{second.location}/{RECORD}", b"{")
    third = commit(store, FIRST)
    assert same(store.find("clean", third.key, digests=True), third)
