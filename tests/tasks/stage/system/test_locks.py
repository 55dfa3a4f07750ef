"""One holder at a time, whoever dies: a lock on a disk ends with its process, a lease on an object store when it expires."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from tasks.stage.system.locks import lease_lock, local_lock

HOLD = """
import sys, time
from pathlib import Path
from tasks.stage.system.locks import local_lock
with local_lock(Path(sys.argv[1]), lambda: print("waits", flush=True)):
    print("holds", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    """Start another process that takes the lock, prints a word, and holds the lock for a while."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """Read the next word of another process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_waits_for_another_that_holds_the_lock_and_then_has_it(tmp_path: Path) -> None:
    with local_lock(tmp_path / "key.lock", lambda: None):
        second = holder(tmp_path / "key.lock", 0)
        assert said(second) == "waits"
    assert said(second) == "holds"
    assert second.wait(60) == 0


def test_a_holder_that_is_killed_frees_the_lock_at_once(tmp_path: Path) -> None:
    first = holder(tmp_path / "key.lock", 600)
    assert said(first) == "holds"
    first.send_signal(signal.SIGKILL)
    first.wait()
    waited: list[str] = []
    with local_lock(tmp_path / "key.lock", lambda: waited.append("waits")):
        assert waited == []


@pytest.fixture
def lease() -> tuple[fsspec.AbstractFileSystem, str]:
    """An object store and a path for a lease in it."""
    return fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}/.locks/key.json"


def test_a_lease_is_held_by_one_at_a_time_and_gone_afterwards(lease: tuple[fsspec.AbstractFileSystem, str]) -> None:
    inside, most, waits = [0], [0], []

    def work() -> None:
        with lease_lock(*lease, lambda: waits.append("waits")):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.3)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert waits == ["waits"]
    assert not lease[0].exists(lease[1])


def test_a_lease_outlives_its_time_while_its_holder_works(lease: tuple[fsspec.AbstractFileSystem, str]) -> None:
    with lease_lock(*lease, lambda: None, seconds=1.0):
        time.sleep(1.5)
        assert json.loads(lease[0].cat_file(lease[1]))["expires"] > time.time()


def test_a_dead_holders_lease_is_taken_over_once_it_has_expired(lease: tuple[fsspec.AbstractFileSystem, str]) -> None:
    lease[0].pipe_file(lease[1], json.dumps({"owner": "dead", "expires": time.time() + 0.6}).encode())
    waits: list[str] = []
    started = time.monotonic()
    with lease_lock(*lease, lambda: waits.append("waits")):
        assert time.monotonic() - started > 0.5
    assert waits == ["waits"]


def test_a_holder_whose_lease_was_taken_over_leaves_the_new_one_alone(lease: tuple[fsspec.AbstractFileSystem, str]) -> None:
    successor = json.dumps({"owner": "successor", "expires": time.time() + 60}).encode()
    with lease_lock(*lease, lambda: None, seconds=0.8):
        lease[0].pipe_file(lease[1], successor)
        time.sleep(0.5)
        assert lease[0].cat_file(lease[1]) == successor
    assert lease[0].cat_file(lease[1]) == successor
