"""The journal is read from the store alone, and tells a dead run from a living one."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tasks.stage.store.journal import RUNS, ExportRecord, Journal, PositionRecord, RegisteredModel, RunRecord, new_id
from tasks.stage.store.store import Store, StoreError
from tasks.stage.system.leases import LEASE_SECONDS

HOLD = """
import sys, time
from pathlib import Path
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
journal = Journal(Store(sys.argv[1], Path(sys.argv[2])))
with journal.running(RunRecord.model_validate_json(sys.argv[3])):
    print("runs", flush=True)
    time.sleep(600)
"""
NO_SERVERS = """
import sys
from tasks.stage.store.journal import Journal
print([name for name in ("mlflow", "prefect") if name in sys.modules])
"""


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    url = str(tmp_path / "books [old]*" / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache")


def ran(run_id: str = "20261125T130501-3fa2bc", *, recipe: str = "toys", status: str = "finished", **more: object) -> RunRecord:
    """Return a record; by default its start is the time in its id."""
    started = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T{run_id[9:11]}:{run_id[11:13]}:{run_id[13:15]}.000000+00:00"
    described = {"started": started, "host": "h", "pid": 1, "git_commit": "abc", "git_dirty": False, "configuration": {}, **more}
    return RunRecord.model_validate({"id": run_id, "recipe": recipe, "status": status, **described})


def test_a_record_reads_back_as_it_was_written_and_a_later_one_replaces_it(store: Store) -> None:
    journal = Journal(store)
    causes = ("it has never run",)
    position = PositionRecord(stage="ingest", key="k", digest="d", location="ingest/toys-0-k", action="executed", causes=causes)
    registered = RegisteredModel(name="folio-toys", version="2", alias="champion", location="export/toys-k", digest="d")
    record = ran(positions={"ingest[0]": position}, registered=(registered,), configuration={"sft": {"rate": 0.5, "names": ["é", None]}})
    journal.write(ran(status="running"))
    journal.write(record)
    assert journal.records() == [record]
    assert journal.get(record.id) == record


def test_runs_come_newest_first_to_the_microsecond_and_the_latest_of_a_recipe_is_the_first_of_its_own(store: Store) -> None:
    journal = Journal(store)
    early, late = "2026-11-25T13:05:01.000001+00:00", "2026-11-25T13:05:01.900000+00:00"
    old = ran("20251231T235959-ffffff")
    second, third = ran("20261125T130501-ffffff", started=early), ran("20261125T130501-000000", started=late)
    newest = ran("20261126T000000-aaaaaa", recipe="other")
    for record in (third, newest, old, second):
        journal.write(record)
    assert journal.records() == [newest, third, second, old]
    assert journal.latest("toys") == third
    assert journal.latest("other") == newest
    assert journal.latest("none") is None


def test_what_mlflow_calls_a_run_and_its_models_is_read_from_what_it_was_told(store: Store) -> None:
    journal = Journal(store)
    record = ran(registered=(RegisteredModel(name="folio-toys", alias="champion", location="export/toys-k", digest="d"),))
    journal.write(record)
    assert journal.get(record.id) == record
    journal.write_export(record.id, ExportRecord(mlflow_run_id="m1", told="finished", versions={"d": "3"}))
    assert [run.id for run in journal.records()] == [record.id], "what was told is no run"
    assert journal.get("m1").registered[0].version == "3"


def test_a_run_is_owed_to_each_server_until_that_was_told_of_it_and_no_address_is_written(store: Store) -> None:
    journal = Journal(store)
    journal.write(ran())
    journal.owe(ran().id, ["postgresql://me:secret@host/mlflow", "http://prefect/api"])
    journal.settle(ran().id, "http://prefect/api")
    assert journal.owing() == [ran().id]
    assert [journal.owes(ran().id, url) for url in ("postgresql://me:secret@host/mlflow", "http://prefect/api")] == [True, False]
    assert not any(b"secret" in store.fs.cat_file(path) for path in store.fs.find(f"{store.root}/{RUNS}"))
    journal.settle(ran().id, "postgresql://me:secret@host/mlflow")
    assert journal.owing() == []


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_the_ids_it_has_in_mlflow_and_prefect(store: Store) -> None:
    journal = Journal(store)
    first, second = ran("20261125T130501-3fa2bc", mlflow_run_id="m1"), ran("20261125T130502-3fa2bc", flow_run_id="f2")
    for record in (first, second):
        journal.write(record)
    assert journal.get("20261125T130501") == first
    assert journal.get("m1") == first
    assert journal.get("f2") == second


def test_a_recipe_means_its_newest_run_and_a_number_after_it_the_runs_before(store: Store) -> None:
    journal = Journal(store)
    records = [ran(f"20261125T13050{number}-3fa2bc") for number in range(3)]
    for record in (*records, ran("20261125T140000-000000", recipe="other")):
        journal.write(record)
    assert [journal.get(name) for name in ("toys", "toys~0", "toys~1", "toys~2")] == [records[2], records[2], records[1], records[0]]
    assert journal.find("toys~3") is None
    with pytest.raises(LookupError, match=r"has no run 'toys~3'.* or universe~1 for the one before"):
        journal.get("toys~3")


def test_a_recipe_may_be_called_by_the_path_of_its_file_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, recipe = Journal(Store(str(tmp_path / "store"), tmp_path / "cache")), tmp_path / "books" / "recipe.yaml"
    recipe.parent.mkdir()
    recipe.write_text("name: letters\n")
    for second in (1, 2):
        journal.write(ran(f"20261125T13050{second}-3fa2bc", recipe="letters", argument=str(recipe)))
    journal.write(ran("20261125T130503-3fa2bc", recipe="others", argument=str(tmp_path / "others" / "recipe.yaml")))
    monkeypatch.chdir(tmp_path)
    for text in ("books/recipe.yaml", "books/", "./books", str(recipe), "letters"):
        assert journal.get(text).id == "20261125T130502-3fa2bc", text
    assert journal.get("books/recipe.yaml~1").id == "20261125T130501-3fa2bc"
    monkeypatch.chdir(recipe.parent)
    assert journal.get("recipe.yaml").recipe == "letters" and journal.find("books") is None


def test_a_name_that_means_no_run_or_several_is_refused_with_what_to_give(store: Store) -> None:
    journal = Journal(store)
    with pytest.raises(LookupError, match=r"has no run '2026', nor any other\. Give a run's id"):
        journal.get("2026")
    for number in range(8):
        journal.write(ran(f"20261125T13050{number}-3fa2bc"))
    with pytest.raises(LookupError, match=r"'2026' begins the ids of 8 runs: 20261125T130507-3fa2bc, .* and 2 more"):
        journal.get("2026")
    with pytest.raises(LookupError, match="has no run ''"):
        journal.get("")


def test_a_record_that_cannot_be_read_is_left_out_and_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(store)
    journal.write(ran())
    store.fs.pipe_file(f"{store.root}/{RUNS}/20261125T130502-000000.json", b'{"id": "half')
    caplog.set_level(logging.INFO, "folio")
    assert journal.records() == [ran()]
    assert journal.latest("toys") == ran()
    assert "the record of run 20261125T130502-000000" in caplog.text


def test_a_run_is_alive_for_as_long_as_its_block_lasts(store: Store) -> None:
    journal, record = Journal(store), ran(status="running")
    assert not journal.alive(record)
    with journal.running(record):
        assert journal.records() == [record]
        assert journal.alive(record)
        assert not journal.alive(ran(status="finished"))
        journal.write(ran(status="finished"))
    assert not journal.alive(record)
    assert [path for path in store.fs.ls(f"{store.root}/{RUNS}", detail=False) if path.endswith(".lock")] == []


def test_a_run_whose_process_was_killed_is_known_to_be_dead_at_once_on_a_disk(tmp_path: Path) -> None:
    journal, record = Journal(Store(str(tmp_path / "store"), tmp_path / "cache")), ran(status="running")
    command = [sys.executable, "-c", HOLD, journal.store.url, str(tmp_path / "cache"), record.model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    assert journal.alive(record)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.records() == [record]
    assert not journal.alive(record)


def test_a_run_on_an_object_store_is_dead_when_its_lease_has_run_out(tmp_path: Path) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")
    journal, record = Journal(store), ran(status="running")
    lease = f"{store.root}/{RUNS}/{record.id}.lock"
    store.fs.pipe_file(lease, json.dumps({"owner": "x", "expires": time.time() + LEASE_SECONDS}).encode())
    assert journal.alive(record)
    store.fs.pipe_file(lease, json.dumps({"owner": "x", "expires": time.time() - 1}).encode())
    assert not journal.alive(record)


def test_a_store_that_cannot_be_written_is_an_error_that_names_the_run(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    journal = Journal(Store(str(tmp_path / "store"), tmp_path / "cache"))
    with pytest.raises(StoreError, match=r"can't write the record of run 20261125T130501-3fa2bc"):
        journal.write(ran())
    with pytest.raises(StoreError, match=r"can't write the lock of run 20261125T130501-3fa2bc"), journal.running(ran()):
        pass


def test_ids_tell_the_start_and_differ(tmp_path: Path) -> None:
    one, two = new_id("2026-11-25T14:05:01.5+01:00"), new_id("2026-11-25T13:05:01.5+00:00")
    assert one.startswith("20261125T130501-")
    assert two.startswith("20261125T130501-")
    assert one != two


def test_the_newest_run_is_found_among_a_thousand_without_reading_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Store(str(tmp_path / "store"), tmp_path / "cache"))
    journal.write(ran())
    folder = tmp_path / "store" / RUNS
    for number in range(1000):
        (folder / f"20261124T13{number // 60:02}{number % 60:02}-{number:06x}.json").write_text("no record; reading it would be told")
    with caplog.at_level("INFO", "folio"):
        found = journal.latest("toys")
    assert found is not None and found.id == ran().id
    assert not caplog.records


def test_reading_and_writing_runs_imports_neither_mlflow_nor_prefect() -> None:
    done = subprocess.run([sys.executable, "-c", NO_SERVERS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
