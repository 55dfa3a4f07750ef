"""A lease is held by one at a time, ends by itself when its owner is gone, and is never got back by an owner who overslept."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from tasks.stage.system.exclusive_files import create_file, replace_file
from tasks.stage.system.leases import is_leased, keep_alive, lease_lock, lease_seconds
from tasks.stage.system.locks import LeaseLost

Place = tuple[fsspec.AbstractFileSystem, str]


@pytest.fixture(params=["memory", "file"])
def lease(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A filesystem and a folder for a lease in it."""
    root = str(tmp_path) if request.param == "file" else f"/{uuid.uuid4().hex}"
    return fsspec.filesystem(request.param), f"{root}/.locks/key"


def put(lease: Place, number: int, owner: str, seconds: float) -> bytes:
    """Write another owner's lease; return its content."""
    content = json.dumps({"owner": owner, "expires": time.time() + seconds}).encode()
    lease[0].makedirs(lease[1], exist_ok=True)
    lease[0].pipe_file(f"{lease[1]}/{number}.json", content)
    return content


def numbers(lease: Place) -> list[str]:
    """The files of a lease."""
    lease[0].invalidate_cache()
    return sorted(str(path).rsplit("/", 1)[-1] for path in lease[0].ls(lease[1], detail=False))


def test_a_lease_is_held_by_one_at_a_time_and_free_afterwards_with_a_higher_number(lease: Place) -> None:
    inside, most, waits = [0], [0], list[str]()

    def work() -> None:
        with lease_lock(*lease, waits.append):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.3)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(waits) == 2 and all(who.startswith("process ") for who in waits)
    assert not is_leased(*lease)
    assert numbers(lease) == ["3.json"]


def test_a_lease_outlives_its_time_while_its_holder_works(lease: Place) -> None:
    with lease_lock(*lease, lambda who: None, seconds=1.0) as held:
        time.sleep(1.5)
        assert held.held() and is_leased(*lease)


def test_a_dead_holders_lease_is_taken_over_once_it_has_expired(lease: Place) -> None:
    put(lease, 4, "dead", 0.6)
    waits: list[str] = []
    started = time.monotonic()
    with lease_lock(*lease, waits.append):
        assert time.monotonic() - started > 0.5
        assert numbers(lease) == ["5.json"]
    assert len(waits) == 1


def test_a_holder_whose_lease_was_taken_over_has_lost_it_and_leaves_the_new_one_alone(lease: Place) -> None:
    with lease_lock(*lease, lambda who: None, seconds=0.8) as held:
        successor = put(lease, 2, "successor", 60)
        time.sleep(0.5)
        assert not held.held()
    assert lease[0].cat_file(f"{lease[1]}/2.json") == successor


def test_a_lease_that_has_expired_is_lost_though_nobody_has_taken_it(lease: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease_lock(*lease, lambda who: None, seconds=0.4) as held:
        # As if nothing had reached the store for a while.
        monkeypatch.setattr(held, "_fs", Unreachable())
        time.sleep(0.6)
        monkeypatch.undo()
        held.renew()
        with pytest.raises(LeaseLost):
            held.require("clean/x")
        assert not is_leased(*lease)


class Unreachable:
    """A filesystem that can't be reached."""

    def __getattr__(self, name: str) -> object:
        raise OSError("unreachable")


def test_a_run_shows_that_it_lives_in_one_file_which_goes_with_it(lease: Place) -> None:
    lease[0].makedirs(lease[1])
    file = f"{lease[1]}/run.lock"
    with keep_alive(lease[0], file, 0.8):
        time.sleep(1.2)
        assert is_leased(lease[0], file)
    assert not lease[0].exists(file)


def test_of_many_that_create_one_file_exactly_one_does_and_a_replacement_asks_for_what_is_there(lease: Place) -> None:
    lease[0].makedirs(lease[1])
    path, created = f"{lease[1]}/record.json", list[bool]()
    threads = [threading.Thread(target=lambda n=n: created.append(create_file(lease[0], path, f"{n}".encode()))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]
    content = lease[0].cat_file(path)
    assert not replace_file(lease[0], path, b"another", b"new")
    assert lease[0].cat_file(path) == content
    assert replace_file(lease[0], path, content, b"new")


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_lease_time_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FOLIO_LEASE_SECONDS", text)
    with pytest.raises(ValueError, match=rf"FOLIO_LEASE_SECONDS='{text}' is not a number of seconds above 0"):
        lease_seconds()
