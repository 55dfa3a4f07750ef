"""A store on a disk and in an object store: whole artifacts or none, verified before they are used."""

from __future__ import annotations

import os
import threading
import time
import uuid
from pathlib import Path

import pytest

from tasks.stage.artifact import RECORD, Artifact
from tasks.stage.disk import place_directory
from tasks.stage.store import Damaged, Store, StoreError
from tests.tasks.records import artifact, committed, written

FILES = {"a.txt": b"alpha", "folder/b.txt": b"beta", "logs/out.txt": b"took 3 s"}


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store; the one on a disk lies in a folder whose name a glob would misread."""
    url = str(tmp_path / "books [old]*" / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache")


def harm(store: Store, made: Artifact, name: str, content: bytes | None) -> None:
    """Change or remove a file of an artifact behind the store's back, later than its record was written."""
    path = f"{store.root}/{made.location}/{name}"
    if content is None:
        store.fs.rm(path)
        return
    store.fs.pipe_file(path, content)
    if store.local_root is not None:
        os.utime(path, (time.time() + 5, time.time() + 5))


def test_what_was_committed_is_found_by_its_key_and_its_files_are_where_local_says(store: Store) -> None:
    made = committed(store, FILES)
    assert store.find("clean", made.key) == made
    assert store.find("clean", made.key, digests=True) == made
    folder = store.local(made)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert store.local(made.part("folder/b.txt")).read_bytes() == b"beta"
    assert store.find("dedup", made.key) is None
    assert store.find("clean", "0" * 64) is None


def test_an_artifact_whose_record_is_not_written_does_not_exist_and_the_next_commit_replaces_it(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, RECORD, None)
    harm(store, made, "stray.txt", b"of the first try")
    assert store.find("clean", made.key) is None
    assert list(store.records()) == []
    again = committed(store, FILES)
    assert store.find("clean", made.key) == again
    assert not store.fs.exists(f"{store.root}/{made.location}/stray.txt")


def test_a_reader_sees_nothing_or_the_whole_while_an_artifact_is_committed(store: Store) -> None:
    contents = {f"{i}.txt": b"x" * i for i in range(30)}
    expected = {name: artifact(written(store.scratch("model") / "output", contents), name=name) for name in "abcdefgh"}
    done = threading.Event()
    seen: list[Artifact | Damaged | None] = []

    def read() -> None:
        while not done.is_set():
            seen.extend(store.find("clean", made.key) for made in expected.values())
            time.sleep(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    made = {name: committed(store, contents, name=name) for name in expected}
    done.set()
    reader.join()
    assert not [found for found in seen if isinstance(found, Damaged)]
    assert all(store.find("clean", one.key) == one for one in made.values())


HARMS = [
    ("a.txt", b"alph", "a.txt has 4 bytes instead of 5"),
    ("folder/b.txt", None, "folder/b.txt is missing"),
    (RECORD, b"{", "artifact.json can't be read"),
]


@pytest.mark.parametrize(("name", "content", "problem"), HARMS)
def test_a_wrong_size_a_missing_file_and_a_broken_record_are_damage(store: Store, name: str, content: bytes | None, problem: str) -> None:
    made = committed(store, FILES)
    harm(store, made, name, content)
    found = store.find("clean", made.key)
    assert isinstance(found, Damaged)
    assert found.location == made.location
    assert found.problems[0].startswith(problem)


def test_other_content_of_the_same_size_is_damage_when_digests_are_asked_for_and_on_a_disk_when_it_looks_touched(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, "a.txt", b"ALPHA")
    expected = Damaged(made.location, ("a.txt has other content than its record says",))
    assert store.find("clean", made.key, digests=True) == expected
    assert store.find("clean", made.key) == (made if store.local_root is None else expected)


def test_a_touched_file_with_its_own_content_is_whole(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, "a.txt", FILES["a.txt"])
    assert store.find("clean", made.key) == made


def test_what_is_quarantined_is_kept_with_the_reason_and_is_no_artifact_any_more(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, "a.txt", b"alph")
    found = store.find("clean", made.key)
    assert isinstance(found, Damaged)
    aside = store.quarantine(found)
    assert store.find("clean", made.key) is None
    assert list(store.records()) == []
    assert store.fs.cat_file(f"{store.root}/{aside}/a.txt") == b"alph"
    assert b"a.txt has 4 bytes" in store.fs.cat_file(f"{store.root}/{aside}/damage.txt")
    assert store.find("clean", committed(store, FILES).key)


def test_the_latest_record_is_that_of_the_same_label_alone(store: Store) -> None:
    old = committed(store, FILES, name="old")
    new = committed(store, FILES, name="new")
    other = committed(store, FILES, name="other", label="toys-small")
    assert store.latest("clean", "toys") == new
    assert store.latest("clean", "toys-small") == other
    assert store.latest("clean", "toy") is None
    assert {record.key for record in store.records("clean")} == {old.key, new.key, other.key}


def test_a_remote_artifact_is_copied_once_and_wrong_bytes_never_reach_the_cache(tmp_path: Path) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")
    made = committed(store, FILES)
    harm(store, made, "a.txt", b"ALPHA")
    with pytest.raises(StoreError, match=r"a.txt in memory://.* has other content than its record says; run with --verify"):
        store.local(made)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".staging"]
    harm(store, made, "a.txt", FILES["a.txt"])
    folder = store.local(made)
    harm(store, made, "a.txt", None)
    assert store.local(made) == folder
    assert (folder / "a.txt").read_bytes() == FILES["a.txt"]


def test_of_two_that_copy_one_artifact_at_once_the_slower_takes_what_the_quicker_has(tmp_path: Path) -> None:
    quicker, slower = written(tmp_path / "final", FILES), written(tmp_path / "copy", FILES)
    place_directory(slower, quicker)
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (quicker / "a.txt").read_bytes() == FILES["a.txt"]


def test_an_artifact_without_files_is_an_artifact(store: Store) -> None:
    made = store.commit(store.scratch("empty"), artifact(store.scratch("empty")))
    assert store.find("clean", made.key) == made
    assert list(p for p in store.local(made).iterdir() if p.name != RECORD) == []


def test_a_store_that_cannot_be_written_or_opened_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(str(tmp_path / "file"), tmp_path / "cache")
    assert store.find("clean", "0" * 64) is None
    with pytest.raises(StoreError, match=r"store: .*file can't take .* make it writable; nothing was committed"):
        store.scratch("work")
    with pytest.raises(StoreError, match="can't take"), store.lock("0" * 64, lambda: None):
        pass
    with pytest.raises(StoreError, match=r"nosuch://x.* can't be opened .* Use a path or an fsspec URL"):
        Store("nosuch://x", tmp_path / "cache")


def test_a_commit_that_fails_leaves_no_artifact(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    made = written(store.scratch("by-hand") / "output", FILES)
    written(tmp_path / "store", {"clean": b"a file in the way"})
    with pytest.raises(StoreError, match=r"can't take clean/toys-.* nothing was committed"):
        store.commit(made, artifact(made))
    assert list(store.records()) == []
