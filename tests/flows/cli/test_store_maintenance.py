"""What `folio gc` and `folio verify` print, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.commands.store import newest_users, verify_store
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store, StoreError, open_store
from tasks.stage.system.command_line import folio as command
from tests.flows.cli.command import folio
from tests.tasks.records import committed, ran

FILES = {"a.txt": b"a" * 1_500_000}


@pytest.fixture
def store(home: Path) -> Store:
    """The store of a home."""
    return open_store(str(home / "store"), home, home)


def test_gc_says_what_goes_its_size_and_why_and_deletes_only_when_asked(home: Path, store: Store) -> None:
    old, new = committed(store, FILES, name="old"), committed(store, FILES, name="new")
    runs = ran(store, 1, old), ran(store, 2, new)
    output = folio(home, "gc", "--keep", "1")
    assert output.returncode == 0
    assert f"kept: run {runs[1].id} of toys, one of the newest finished runs\nkept: 1 artifact, 1.5 MB\n" in output.stdout
    assert f"goes: {old.location}    1.5 MB  artifact: last used by run {runs[0].id} of toys, which is not kept\n" in output.stdout
    assert f"can go: 1 thing, 1.5 MB. Nothing was deleted; do it with: {command('gc', '--delete')}" in output.stdout
    assert store.find("clean", old.key) == old
    plain = json.loads(folio(home, "gc", "--keep", "1", "--json").stdout)
    assert [(waste["kind"], waste["path"], waste["size"]) for waste in plain["waste"]] == [("artifact", old.location, 1_500_000)]
    assert (plain["deleted"], plain["bytes"], plain["kept"]["artifacts"]) == (False, 1_500_000, 1)
    assert folio(home, "gc", "--keep", "1", "--keep-run", runs[0].id, "--delete").stdout.endswith("nothing can go\n")
    assert "deleted: 1 thing, 1.5 MB" in folio(home, "gc", "--keep", "1", "--delete").stdout
    assert store.find("clean", old.key) is None
    assert store.find("clean", new.key) == new


def test_a_store_that_records_no_run_is_kept_whole(home: Path, store: Store) -> None:
    made = committed(store, FILES)
    assert "records no run, so nothing says what is needed: all of it is kept (1 artifact, 1.5 MB)" in folio(home, "gc", "--delete").stdout
    assert store.find("clean", made.key) == made


def test_gc_deletes_nothing_during_a_run_and_says_so_in_one_line(home: Path, store: Store) -> None:
    run = ran(store, 1, status="running")
    with Journal(store).running(run), store.in_use():
        output = folio(home, "gc", "--delete")
    assert output.returncode == 1
    assert output.stderr.startswith(f"folio: {store.url} is in use: run {run.id} of toys (process 7 on h) is under way")
    assert output.stderr.count("\n") == 1


def test_verify_names_damage_exits_with_1_and_prints_json_alone(home: Path, store: Store) -> None:
    made = committed(store, FILES)
    assert folio(home, "verify").returncode == 0
    (store.local(made) / "a.txt").write_bytes(b"b" * 1_500_000)
    output = folio(home, "verify")
    assert output.returncode == 1
    assert f"{made.location}: a.txt does not match its record\n" in output.stdout
    again = f"1 artifact, 1.5 MB read again: 1 damaged\nquarantine them and make them again: {command('verify', '--heal')}"
    assert again in output.stdout
    plain = json.loads(folio(home, "verify", "--json").stdout)
    assert plain["damaged"] == [{"location": made.location, "problems": ["a.txt does not match its record"]}]
    assert plain["well"] is False


def test_healing_only_quarantines_what_no_recipe_needs(store: Store) -> None:
    made = committed(store, FILES)
    ran(store, 1, committed(store, FILES, name="other"))
    (store.local(made) / "a.txt").unlink()
    text, well = verify_store(heal=True, as_json=False, store=store.url)
    assert well
    assert f"{made.location}: quarantined in .quarantine/{made.location.replace('/', '-')}" in text
    assert verify_store(heal=False, as_json=False, store=store.url)[1]


def test_nothing_is_quarantined_during_a_run(store: Store) -> None:
    made = committed(store, FILES)
    (store.local(made) / "a.txt").unlink()
    run = ran(store, 1, status="running")
    with Journal(store).running(run), store.in_use(), pytest.raises(StoreError, match=f"is in use: run {run.id}"):
        verify_store(heal=True, as_json=False, store=store.url)
    assert (store.local(made) / "artifact.json").exists()


def test_healing_that_cannot_rerun_the_recipe_fails_and_says_why(store: Store) -> None:
    made = committed(store, FILES)
    run = ran(store, 1, made, configuration={"name": "toys", "colour": "red"})
    (store.local(made) / "a.txt").unlink()
    text, well = verify_store(heal=True, as_json=False, store=store.url)
    assert not well
    assert f"toys: could not be run again as run {run.id} was: the configuration of run {run.id} is not a valid recipe" in text
    assert f"{made.location}: not healed" in text


def test_each_recipe_s_newest_finished_run_is_rerun_if_it_used_what_is_damaged(store: Store) -> None:
    old, new, other = (committed(store, FILES, name=name) for name in ("old", "new", "other"))
    ran(store, 1, old)
    finished = ran(store, 2, new)
    ran(store, 3, new, status="failed")
    failed = ran(store, 4, other, recipe="books", status="failed")
    users = newest_users(Journal(store), {old.location, new.location, other.location})
    assert {run.id for run in users} == {finished.id, failed.id}
    assert newest_users(Journal(store), {old.location}) == []
