"""A store on a disk and in an object store: whole artifacts or none, verified before they are used."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tasks.stage.identity import digests
from tasks.stage.identity.digests import DigestCache
from tasks.stage.store import index
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.store import Damaged, Store, StoreError
from tasks.stage.system.atomic_files import move_if_absent
from tests.tasks.records import artifact, commit, committed, written

FILES = {"a.txt": b"alpha", "folder/b.txt": b"beta", "logs/out.txt": b"took 3 s"}


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store; the one on a disk lies in a folder whose name a glob would misread."""
    url = str(tmp_path / "books [old]*" / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache")


def opened(root: Path, folder: Path) -> Store:
    """Open a store on a disk as another process would, with a digest cache in `folder`."""
    return Store(str(root), folder / "cache", DigestCache(folder / "digests.db"))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    """An empty store on a disk with a digest cache."""
    return opened(tmp_path / "books [old]*" / "store", tmp_path)


def harm(store: Store, made: Artifact, name: str, content: bytes | None) -> None:
    """Change or remove a file of an artifact behind the store's back, later than its record was written."""
    path = f"{store.root}/{made.location if name == RECORD else made.files_at}/{name}"
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


def test_files_of_an_artifact_can_be_read_by_those_who_may_read_its_folder(local: Store) -> None:
    made = written(local.scratch("made"), {"model.safetensors": b"weights"})
    (made / "model.safetensors").chmod(0o600)
    kept = local.local(commit(local, made, artifact(made)))
    assert kept.stat().st_mode & 0o444 == (kept / "model.safetensors").stat().st_mode & 0o444


def test_an_artifact_whose_record_is_not_written_does_not_exist_and_the_next_commit_replaces_it(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, RECORD, None)
    harm(store, made, "stray.txt", b"of the first try")
    assert store.find("clean", made.key) is None
    assert list(store.records()) == []
    again = committed(store, FILES)
    assert store.find("clean", made.key) == again
    assert not store.fs.exists(f"{store.root}/{again.files_at}/stray.txt")


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
    ("a.txt", b"", "a.txt has 0 bytes instead of 5"),
    ("folder/b.txt", None, "folder/b.txt is missing"),
    ("folder/c.txt", b"gamma", "folder/c.txt is not in its record"),
    (RECORD, b"{", "artifact.json can't be read"),
]


@pytest.mark.parametrize(("name", "content", "problem"), HARMS)
def test_a_wrong_size_a_missing_file_a_file_too_many_and_a_broken_record_are_damage(
    store: Store, name: str, content: bytes | None, problem: str
) -> None:
    made = committed(store, FILES)
    harm(store, made, name, content)
    found = store.find("clean", made.key)
    assert isinstance(found, Damaged)
    assert found.location == made.location
    assert found.problems[0].startswith(problem)


def test_other_content_of_the_same_size_is_damage_when_digests_are_asked_for_and_on_a_disk_when_it_looks_touched(store: Store) -> None:
    made = committed(store, FILES)
    harm(store, made, "a.txt", b"ALPHA")
    expected = Damaged(made.location, ("a.txt does not match its record",))
    assert store.find("clean", made.key, digests=True) == expected
    assert store.find("clean", made.key) == (made if store.local_root is None else expected)


def flip_a_byte(path: Path) -> None:
    """Change one bit of a file and set its times back, as a careful forger or a tool that restores times would."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_a_flipped_byte_is_damage_although_the_files_time_was_set_back(local: Store, pause: float) -> None:
    made = committed(local, FILES)
    assert local.find("clean", made.key) == made
    time.sleep(pause)
    flip_a_byte(local.local(made) / "folder" / "b.txt")
    assert local.find("clean", made.key) == Damaged(made.location, ("folder/b.txt does not match its record",))


def test_a_flipped_byte_is_damage_although_the_record_was_touched_after_it(local: Store) -> None:
    made = committed(local, FILES)
    time.sleep(0.1)
    flip_a_byte(local.local(made) / "a.txt")
    (local.local(made) / RECORD).touch()
    assert isinstance(local.find("clean", made.key), Damaged)


def test_a_flipped_byte_is_damage_even_in_a_store_that_was_copied_afterwards(local: Store, tmp_path: Path) -> None:
    made = committed(local, FILES)
    flip_a_byte(local.local(made) / "a.txt")
    shutil.copytree(local.root, tmp_path / "elsewhere")
    assert isinstance(opened(tmp_path / "elsewhere", tmp_path).find("clean", made.key), Damaged)


@pytest.mark.parametrize("command", ["mv", "cp -r", "cp -a"])
def test_a_store_that_was_moved_is_reused_and_read_at_most_once(
    local: Store, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = committed(local, {f"{i}.txt": b"%d" % i for i in range(20)})
    elsewhere, read = tmp_path / "elsewhere", list[Path]()
    real = digests._read_one

    def counted(path: Path) -> tuple[Path, str, str]:
        read.append(path)
        return real(path)

    monkeypatch.setattr(digests, "_read_one", counted)
    subprocess.run([*command.split(), local.root, str(elsewhere)], check=True)
    time.sleep(digests.SETTLE_SECONDS + 0.1)
    assert opened(elsewhere, tmp_path).find("clean", made.key) == made
    assert sorted(read) == (sorted(set(read)) if command == "mv" else sorted(elsewhere.rglob("*.txt")))
    read.clear()
    for _ in range(3):
        assert opened(elsewhere, tmp_path).find("clean", made.key) == made
    assert read == []


def test_files_that_nobody_touched_are_not_read(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(local.scratch("by-hand") / "output", FILES)
    time.sleep(0.1)
    made = commit(local, folder, artifact(folder))
    monkeypatch.setattr(digests, "_read_one", None)
    assert local.find("clean", made.key) == made


def test_a_digest_from_memory_condemns_no_file(local: Store, tmp_path: Path) -> None:
    made = committed(local, FILES)
    (local.local(made) / "a.txt").touch()
    time.sleep(digests.SETTLE_SECONDS + 0.1)
    assert local.find("clean", made.key) == made
    with closing(sqlite3.connect(tmp_path / "digests.db")) as database, database:
        for path, seen in database.execute("SELECT path, seen FROM digests").fetchall():
            row = (path, seen, "0" * 64, digests._checksum(path, seen, "0" * 64))
            database.execute("REPLACE INTO digests VALUES (?, ?, ?, ?)", row)
    assert local.find("clean", made.key) == made


def test_an_artifact_under_another_label_is_found_and_the_probable_one_first(store: Store) -> None:
    own, other = committed(store, FILES, label="toys"), committed(store, FILES, label="books")
    assert store.find("clean", own.key, label="toys") == own
    assert store.find("clean", own.key, label="books") == other
    assert store.find("clean", own.key, label="nobody") in (own, other)
    store.fs.rm(f"{store.root}/{own.location}", recursive=True)
    assert store.find("clean", own.key, label="toys") == other


def test_where_the_label_is_known_nothing_is_listed(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = committed(local, FILES)
    monkeypatch.setattr(index.StoreIndex, "_folders", None)
    assert local.find("clean", made.key, label="toys") == made


def test_what_another_process_commits_or_removes_is_seen_at_once(local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SETTLE_SECONDS", 0.05)
    other = opened(Path(local.root), tmp_path)
    for round_ in range(3):
        one = committed(other, FILES, name=f"one{round_}")
        time.sleep(0.1)
        for _ in range(2):
            assert local.find("clean", one.key) == one
            assert local.latest("clean", "toys") == one
        two = committed(other, FILES, name=f"two{round_}")
        assert local.find("clean", two.key) == two
        assert local.latest("clean", "toys") == two
        shutil.rmtree(other.local(two))
        assert local.find("clean", two.key) is None
        assert local.latest("clean", "toys") == one
        (other.local(one) / RECORD).write_text("{")
        assert isinstance(local.find("clean", one.key), Damaged)


def test_the_latest_record_is_the_one_made_last_however_the_store_was_copied(local: Store) -> None:
    made = [committed(local, FILES, name=f"{i}") for i in range(6)]
    for number, artifact_ in enumerate([*made[3:], *made[:3]]):
        os.utime(local.local(artifact_) / RECORD, (time.time() + number, time.time() + number))
    assert local.latest("clean", "toys") == made[-1]


def test_a_run_waits_for_a_collection_to_end(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    inside = threading.Event()

    def run() -> None:
        with store.in_use():
            inside.set()

    waiting = threading.Thread(target=run)
    with caplog.at_level(logging.INFO, "folio"), store.exclusive():
        waiting.start()
        assert not inside.wait(0.5)
    assert inside.wait(10)
    waiting.join()
    assert [line.partition(" is being cleaned")[2] for line in caplog.messages] == [" (folio gc); waiting for it to finish"]


def test_a_collection_has_a_store_on_a_disk_to_itself_or_not_at_all(local: Store) -> None:
    with local.in_use(), local.in_use(), pytest.raises(BlockingIOError), local.exclusive():
        pass
    with local.exclusive():
        pass


def test_every_flipped_bit_of_a_record_is_damage(local: Store) -> None:
    made = committed(local, {"a.txt": b"alpha"})
    path = local.local(made) / RECORD
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            with pytest.raises(ValueError):  # of json, pydantic or the checksum
                Artifact.unsealed(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    assert Artifact.unsealed(whole) == made
    path.write_bytes(whole.replace(b"alpha", b"alpha").replace(b'"size": 5', b'"size": 6'))
    assert local.find("clean", made.key) == Damaged(
        made.location, ("artifact.json can't be read (its checksum does not match its content)",)
    )


def test_a_record_from_before_checksums_and_traces_can_be_read_and_is_known_by_its_key(local: Store) -> None:
    made = committed(local, FILES)
    fields = json.loads((local.local(made) / RECORD).read_bytes())
    source = {"stage": "ingest", "key": "k", "digest": "d", "location": "ingest/toys-k"}
    for name in ("checksum", "address", "trace", "marks"):
        del fields[name]
    (local.local(made) / RECORD).write_text(json.dumps({**fields, "format": 1, "inputs": {"documents": source}}))
    (old,) = local.records()
    assert (old.address, old.trace, old.inputs["documents"].address) == (made.key, "", "k")
    (local.local(made) / RECORD).write_text(json.dumps(fields))
    assert list(local.records()) == []


def test_a_file_is_read_only_with_the_content_of_its_record(store: Store) -> None:
    made = committed(store, FILES)
    assert store.read(made, "a.txt") == b"alpha"
    path = store.local(made) / "a.txt"
    path.write_bytes(b"ALPHA")
    if store.local_root is None:
        assert store.read(made, "a.txt") == b"alpha", "a copy that went bad is fetched again"
    else:
        with pytest.raises(StoreError, match=rf"{made.location}/a.txt in .* does not match its record; run with --verify"):
            store.read(made, "a.txt")


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
    assert store.fs.cat_file(f"{store.root}/{aside}{made.files_at[len(made.location) :]}/a.txt") == b"alph"
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
    with pytest.raises(StoreError, match=r"a.txt in memory://.* does not match its record; run with --verify"):
        store.local(made)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".staging"]
    harm(store, made, "a.txt", FILES["a.txt"])
    folder = store.local(made)
    harm(store, made, "a.txt", None)
    assert store.local(made) == folder
    assert (folder / "a.txt").read_bytes() == FILES["a.txt"]


def test_of_two_that_copy_one_artifact_at_once_the_slower_takes_what_the_quicker_has(tmp_path: Path) -> None:
    quicker, slower = written(tmp_path / "final", FILES), written(tmp_path / "copy", FILES)
    move_if_absent(slower, quicker)
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (quicker / "a.txt").read_bytes() == FILES["a.txt"]


def test_an_artifact_without_files_is_an_artifact(store: Store) -> None:
    made = commit(store, store.scratch("empty"), artifact(store.scratch("empty")))
    assert store.find("clean", made.key) == made
    assert list(p for p in store.local(made).iterdir() if p.name != RECORD) == []


def test_a_store_that_cannot_be_written_or_opened_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(str(tmp_path / "file"), tmp_path / "cache")
    assert store.find("clean", "0" * 64) is None
    with pytest.raises(StoreError, match=r"store: .*file can't write .* make it writable; nothing was committed"):
        store.scratch("work")
    with pytest.raises(StoreError, match="can't write"), store.lock("0" * 64, lambda who: None):
        pass
    with pytest.raises(StoreError, match=r"nosuch://x.* can't be opened .* Use a path or an fsspec URL"):
        Store("nosuch://x", tmp_path / "cache")


def test_a_commit_that_fails_leaves_no_artifact(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    made = written(store.scratch("by-hand") / "output", FILES)
    written(tmp_path / "store", {"clean": b"a file in the way"})
    with pytest.raises(StoreError, match=r"can't write clean/toys-.* nothing was committed"):
        commit(store, made, artifact(made))
    assert list(store.records()) == []
