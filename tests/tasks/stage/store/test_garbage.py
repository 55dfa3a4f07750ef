"""What garbage collection keeps, what it deletes, and that it takes nothing that a run uses."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tasks.stage.identity.digests import DigestCache
from tasks.stage.store.artifact import RECORD, Artifact, InputRecord
from tasks.stage.store.garbage import GarbageSurvey, collect_garbage
from tasks.stage.store.journal import Journal, RegisteredModel
from tasks.stage.store.store import Damaged, Store, StoreError
from tasks.stage.store.traces import save_trace
from tasks.stage.store.verdicts import Acceptance, acceptances, save
from tasks.stage.system import atomic_files
from tests.tasks.records import committed, ran, written

DAY = 86400.0


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    url = str(tmp_path / "books [old]*" / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache", DigestCache(tmp_path / "digests.db"))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    """An empty store on a disk."""
    return Store(str(tmp_path / "store"), tmp_path / "cache", DigestCache(tmp_path / "digests.db"))


def made(store: Store, name: str, *parents: Artifact) -> Artifact:
    """An artifact of 100 bytes made from others; `name` begins with its stage."""
    inputs = {f"input{i}": parent.reference() for i, parent in enumerate(parents)}
    content = {"a.txt": name.encode().ljust(100), "b/c.txt": b""}
    return committed(store, content, stage=name.partition(".")[0], name=name, inputs=inputs)


def going(found: GarbageSurvey) -> dict[str, str]:
    return {waste.path: waste.why for waste in found.garbage}


def files(store: Store) -> list[str]:
    store.fs.invalidate_cache()
    return sorted(path for path in store.fs.find(store.root) if "/.runs/" not in path and "/.locks/" not in path)


def test_the_newest_finished_runs_of_each_recipe_stay_with_all_that_they_were_made_from(store: Store) -> None:
    books = [made(store, f"ingest.{i}") for i in range(5)]
    clean = [made(store, f"clean.{i}", book) for i, book in enumerate(books)]
    other = made(store, "clean.other", books[0])
    for number, artifact in enumerate(clean):
        ran(store, number, artifact)
    ran(store, 9, other, recipe="other")
    found = collect_garbage(store, delete=False, keep=2)
    assert set(going(found)) == {a.location for a in [*clean[:3], *books[1:3]]}
    assert going(found)[clean[2].location] == "last used by run 20200101T000002-000000 of toys, which is not kept"
    assert found.artifacts == 6
    assert found.size == 600
    assert sum(waste.size for waste in found.garbage) == 500


def test_a_condemned_artifact_goes_though_the_newest_run_or_a_registered_model_needs_it_and_all_else_stays(store: Store) -> None:
    book, other = made(store, "ingest.book"), made(store, "ingest.other")
    model = made(store, "train.model", book, other)
    ran(store, 1, book, other, model)
    assert not going(collect_garbage(store, delete=False, keep=3))
    condemned = {book.address: "holds Moby", model.address: "learned from Moby"}
    found = collect_garbage(store, delete=True, keep=3, condemned=condemned)
    assert going(found) == {book.location: "holds Moby", model.location: "learned from Moby"}
    assert [artifact.location for artifact in store.records()] == [other.location]


def test_condemned_artifacts_go_from_a_store_that_records_no_run_and_nothing_else_does(store: Store) -> None:
    book, other = made(store, "ingest.book"), made(store, "ingest.other")
    assert set(going(collect_garbage(store, delete=True, keep=3, condemned={book.address: "holds Moby"}))) == {book.location}
    assert [artifact.location for artifact in store.records()] == [other.location]


def test_nothing_is_deleted_unless_asked_and_then_exactly_what_was_told(store: Store) -> None:
    old, new = made(store, "clean.old"), made(store, "clean.new")
    ran(store, 1, old)
    ran(store, 2, new)
    before = files(store)
    told = collect_garbage(store, delete=False, keep=1)
    assert files(store) == before
    assert collect_garbage(store, delete=True, keep=1) == told
    assert set(before) - set(files(store)) == {path for path in before if old.location in path}
    assert store.find("clean", old.key) is None
    assert store.find("clean", new.key, digests=True) == new
    assert collect_garbage(store, delete=True, keep=1).garbage == ()
    assert [run.id for run in Journal(store).records()] == ["20200101T000002-000000", "20200101T000001-000000"]


def test_a_model_that_was_ever_registered_stays_with_its_ancestors_however_old_its_run(store: Store) -> None:
    book = made(store, "ingest.a")
    model, measured = made(store, "export.a", book), made(store, "evaluate.a", book)
    version = RegisteredModel(name="folio-toys", version="1", alias="", location=model.location, digest=model.digest)
    ran(store, 1, book, model, measured, registered=(version,))
    ran(store, 2, made(store, "ingest.b"))
    assert set(going(collect_garbage(store, delete=False, keep=1))) == {measured.location}


def test_runs_that_failed_since_the_newest_finished_one_stay_as_far_as_their_continuation_wants_them(store: Store) -> None:
    stages = ("ingest", "clean", "dedup")
    before, long, short, done = (
        {stage: made(store, f"{stage}.{which}") for stage in stages} for which in ("before", "long", "short", "done")
    )
    ran(store, 1, *before.values(), status="failed")
    ran(store, 2, *done.values())
    ran(store, 3, *long.values(), status="failed")
    ran(store, 4, short["ingest"], status="stopped")
    forgotten = {a.location for a in (*before.values(), short["clean"], short["dedup"])}
    assert set(going(collect_garbage(store, delete=False, keep=3))) == forgotten
    # What a later attempt had at all the same places replaces an earlier one's.
    ran(store, 5, *short.values(), status="crashed")
    assert set(going(collect_garbage(store, delete=False, keep=3))) == {a.location for a in (*before.values(), *long.values())}


def test_a_run_that_was_killed_counts_as_crashed_and_one_under_way_stays(store: Store) -> None:
    killed, finished, alive = made(store, "clean.killed"), made(store, "clean.finished"), made(store, "clean.alive")
    ran(store, 1, killed, status="running")
    ran(store, 2, finished)
    with Journal(store).running(ran(store, 0, alive, status="running")):
        assert set(going(collect_garbage(store, delete=False, keep=1))) == {killed.location}
        with Journal(store).running(ran(store, 1, killed, status="running")):
            assert going(collect_garbage(store, delete=False, keep=1)) == {}


def test_runs_that_are_named_stay_and_a_wrong_name_deletes_nothing(store: Store) -> None:
    old, new = made(store, "clean.old"), made(store, "clean.new")
    run = ran(store, 1, old)
    ran(store, 2, new)
    assert going(collect_garbage(store, delete=True, keep=1, named=[run.id])) == {}
    with pytest.raises(LookupError, match="no run '1999'"):
        collect_garbage(store, delete=True, keep=1, named=["1999"])
    assert store.find("clean", old.key) == old


def test_a_store_without_a_journal_keeps_everything(store: Store) -> None:
    artifact = made(store, "clean.a")
    found = collect_garbage(store, delete=True, keep=1)
    assert (found.recorded, found.artifacts, found.garbage) == (False, 1, ())
    assert store.find("clean", artifact.key) == artifact


def test_what_is_older_than_the_journal_stays_with_its_ancestors_unless_asked_for(store: Store) -> None:
    book = made(store, "ingest.old")
    model = made(store, "export.old", book)
    time.sleep(0.01)
    garbage = made(store, "clean.garbage")
    ran(store, 1, started=garbage.origin.created)
    found = collect_garbage(store, delete=False, keep=1)
    assert going(found) == {garbage.location: "no recorded run used it"}
    assert (found.artifacts, found.unrecorded) == (2, 2)
    everything = collect_garbage(store, delete=False, keep=1, unrecorded=True)
    assert set(going(everything)) == {model.location, book.location, garbage.location}


def test_an_acceptance_stays_as_long_as_what_it_lets_stand_in(store: Store) -> None:
    old, new = made(store, "clean.old"), made(store, "clean.new")
    ran(store, 1, old)
    ran(store, 2, new)
    for artifact in (old, new):
        acceptance = Acceptance(
            stage="clean",
            position="clean",
            recipe="toys",
            key=f"{artifact.key[::-1]}",
            instead=artifact.address,
            trace="0" * 64,
            changes={},
            ingredients={},
            causes=(),
            reason="r",
            who="w",
            when="t",
        )
        save(store, acceptance)
    collect_garbage(store, delete=True, keep=1)
    assert [acceptance.instead for acceptance in acceptances(store)] == [new.address]


def test_a_trace_stays_as_long_as_an_artifact_names_it(store: Store) -> None:
    traces = {name: save_trace(store, name.encode()) for name in ("old", "new")}
    old, new = (committed(store, {"a.txt": b"a"}, name=name, trace=trace) for name, trace in traces.items())
    ran(store, 1, old)
    ran(store, 2, new)
    collect_garbage(store, delete=True, keep=1)
    assert store.names(".traces") == [f"{new.trace}.json"]


def test_what_an_accepted_run_had_stays(store: Store) -> None:
    stood_in = made(store, "clean.a")
    record = ran(store, 1, stood_in)
    position = record.positions["clean"].model_copy(update={"key": "f" * 64, "accepted": "it alters nothing"})
    Journal(store).write(record.model_copy(update={"positions": {"clean": position}}))
    assert going(collect_garbage(store, delete=False, keep=1)) == {}


def test_folders_that_lost_their_record_go_and_what_folio_did_not_make_stays(store: Store) -> None:
    kept, orphan = made(store, "clean.kept"), made(store, "clean.orphan")
    ran(store, 1, kept)
    store.fs.rm(f"{store.root}/{orphan.location}/{RECORD}")
    for path in ("photos/trip-20241005/a.jpg", "clean/notes/a.txt"):
        store.fs.makedirs(f"{store.root}/{path.rpartition('/')[0]}")
        store.fs.pipe_file(f"{store.root}/{path}", b"mine")
    assert list(going(collect_garbage(store, delete=True, keep=1))) == [orphan.location]
    assert store.fs.cat_file(f"{store.root}/photos/trip-20241005/a.jpg") == b"mine"
    assert store.fs.cat_file(f"{store.root}/clean/notes/a.txt") == b"mine"
    assert store.find("clean", kept.key) == kept


def aged(path: Path, seconds: float) -> None:
    """Backdate a file, or a folder with everything in it."""
    then = time.time() - seconds
    for each in [*path.rglob("*"), path]:
        os.utime(each, (then, then))


def test_work_in_progress_goes_when_it_was_idle_for_a_day_and_no_unfinished_run_wants_it(local: Store) -> None:
    ran(local, 1, made(local, "clean.a"))
    root = Path(local.root)
    for name, idle in (("old-0123456789abcdef", 1.1), ("new-0123456789abcdef", 0.9), ("locked-aaaaaaaaaaaaaaaa", 3)):
        written(root / ".staging" / name, {"resume/step.pt": b"x" * 1000})
        aged(root / ".staging" / name, idle * DAY)
    shutil.rmtree(root / ".staging" / "by-hand")
    with local.lock("a" * 64, lambda who: None):
        assert going(collect_garbage(local, delete=False, keep=1)) == {".staging/old-0123456789abcdef": "idle for 1 day"}
    yesterday = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 2 * DAY))
    ran(local, 2, status="stopped", started=yesterday)
    with local.lock("a" * 64, lambda who: None):
        assert going(collect_garbage(local, delete=False, keep=1)) == {}


def test_what_was_put_aside_goes_after_a_week(local: Store) -> None:
    ran(local, 1, made(local, "ingest.a"))
    aside = [local.quarantine(Damaged(made(local, f"clean.{i}").location, ("it rotted",))) for i in range(2)]
    aged(Path(local.root) / aside[0], 8 * DAY)
    aged(Path(local.root) / aside[1], 6 * DAY)
    found = collect_garbage(local, delete=True, keep=1)
    assert going(found) == {aside[0]: "damaged, and quarantined 8 days ago"}
    assert [path.name for path in (Path(local.root) / ".quarantine").iterdir()] == [Path(aside[1]).name]


def test_locks_that_nobody_holds_go_and_half_written_files_with_them(local: Store) -> None:
    ran(local, 1, made(local, "clean.a"))
    with local.lock("a" * 64, lambda who: None):
        pass
    (Path(local.root) / ".runs" / "dead.lock").touch()
    (Path(local.root) / ".runs" / ".x.json-abc123").touch()
    with local.lock("b" * 64, lambda who: None):
        assert set(going(collect_garbage(local, delete=True, keep=1))) == {
            f".locks/{'a' * 64}.lock",
            ".runs/dead.lock",
            ".runs/.x.json-abc123",
        }
    assert sorted(local.names(".locks")) == [f"{'b' * 64}.lock", "store.lock"]


def test_nothing_is_deleted_under_a_run_and_the_run_is_named(store: Store) -> None:
    old = made(store, "clean.old")
    ran(store, 1, old)
    ran(store, 2, made(store, "clean.new"))
    alive = ran(store, 3, status="running", recipe="books")
    with Journal(store).running(alive), store.in_use():
        with pytest.raises(StoreError, match=rf"run {alive.id} of books \(process 7 on h\) is under way, so nothing is deleted"):
            collect_garbage(store, delete=True, keep=1)
        assert list(going(collect_garbage(store, delete=False, keep=1))) == [old.location]
    assert store.find("clean", old.key) == old
    assert old.location in going(collect_garbage(store, delete=True, keep=1))


@contextmanager
def killed_after(monkeypatch: pytest.MonkeyPatch, files: int) -> Iterator[None]:
    """Deletion fails after a few files."""
    left = [files]
    real = os.unlink

    def unlink(*args: object, **kwargs: object) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(os, "unlink", unlink)
        yield


@pytest.mark.parametrize("after", range(10))
def test_a_collection_that_is_killed_leaves_whole_artifacts_with_whole_lineage_and_the_next_one_finishes(
    local: Store, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [made(local, "ingest.a")]
    for stage in ("clean", "dedup"):
        chain.append(made(local, f"{stage}.a", chain[-1]))
    kept = made(local, "ingest.kept")
    ran(local, 1, *chain)
    ran(local, 2, kept)
    with killed_after(monkeypatch, after):
        collect_garbage(local, delete=True, keep=1)
    left = {record.address: record for record in local.records()}
    for record in left.values():
        assert local.check(record, digests=True) == ()
        assert all(given.address in left for given in record.inputs.values())
    collect_garbage(local, delete=True, keep=1)
    assert [record.key for record in local.records()] == [kept.key]
    assert [path.name for path in sorted(Path(local.root).glob("[!.]*/*"))] == [kept.location.partition("/")[2]]


def test_an_input_is_followed_by_its_key_although_it_lies_under_another_label(local: Store) -> None:
    book = committed(local, {"a.txt": b"a"}, stage="ingest", label="others")
    reference = InputRecord(stage="ingest", address=book.address, digest=book.digest, location="ingest/toys-gone")
    clean = committed(local, {"a.txt": b"b"}, stage="clean", inputs={"documents": reference})
    ran(local, 1, clean)
    assert going(collect_garbage(local, delete=False, keep=1)) == {}


def test_what_cannot_be_deleted_is_an_error_that_names_it(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made(local, "clean.old")
    ran(local, 1, old)
    ran(local, 2, made(local, "clean.new"))

    def refused(path: Path, first: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tasks.stage.store.store.remove", refused)
    with pytest.raises(StoreError, match=rf"removal of {old.location} .*Permission denied"):
        collect_garbage(local, delete=True, keep=1)
    assert atomic_files.remove is not refused
