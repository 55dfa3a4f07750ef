"""One holder at a time, whoever dies or sleeps: a lock on a disk ends with its process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.stage.system.locks import LeaseLost, local_lock

HOLD = """
import sys, time
from pathlib import Path
from tasks.stage.system.locks import signed_lock
with signed_lock(Path(sys.argv[1]), lambda who: print("waits", who, flush=True)):
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
        assert said(second).startswith("waits")
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


def test_a_holder_that_is_suspended_keeps_its_lock_and_whoever_waits_is_told_who_and_how_to_go_on(tmp_path: Path) -> None:
    first = holder(tmp_path / "key.lock", 1)
    assert said(first) == "holds"
    first.send_signal(signal.SIGSTOP)
    second = holder(tmp_path / "key.lock", 0)
    told = said(second)
    assert told.startswith(f"waits process {first.pid} on ")
    assert f"it is suspended: `kill -CONT {first.pid}` lets it go on" in told
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.5)
    first.send_signal(signal.SIGCONT)
    assert said(second) == "holds"
    assert [process.wait(60) for process in (first, second)] == [0, 0]


def test_a_lock_whose_file_was_deleted_is_lost_and_the_next_one_is_another(tmp_path: Path) -> None:
    with local_lock(tmp_path / "key.lock", lambda: None) as lock:
        assert lock.held()
        (tmp_path / "key.lock").unlink()
        with local_lock(tmp_path / "key.lock", lambda: None) as other:
            assert other.held() and other.token != lock.token
            assert not lock.held()
            with pytest.raises(LeaseLost, match=r"clean/x: this process was suspended.*run the same command again"):
                lock.require("clean/x")
