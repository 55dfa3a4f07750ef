"""Threads of torch spin while they wait on a machine that is free, and sleep beside other work; no number depends on it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.hardware import waiting
from model.hardware.transfers import torch_threads
from model.hardware.waiting import CALM, CHOSEN, OtherWork, Waiting, crowded

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = waiting._torch_libgomp()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="torch here has no libgomp")
BUSY, CALM_MACHINE = 1.0, 0.0
BURN = "import sys\nprint(flush=True)\nwhile True: pass"

# A second thread has something to do each millisecond. What it takes beyond that is what waiting takes.
WAITS = """
import time, torch
from model.hardware.waiting import Waiting, _torch_libgomp
torch.set_num_threads(2)
waiting, numbers = Waiting(_torch_libgomp(), 2), torch.ones(200_000)
def used():
    numbers.add_(1)
    before = time.process_time()
    for _ in range(200):
        numbers.add_(1)
        time.sleep(0.001)
    return time.process_time() - before
spinning = used()
waiting.sleep()
asleep = used()
waiting.spin()
print(spinning, asleep, used())
"""

LEARNS = """
import torch
from model.hardware.waiting import Waiting, _torch_libgomp
torch.set_num_threads(2)
waiting = Waiting(_torch_libgomp(), 2)
def learnt(asleep):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.LayerNorm(512), torch.nn.Linear(512, 256))
    optimizer, rows = torch.optim.AdamW(network.parameters(), 1e-2), torch.randn(512, 256)
    for step in range(12):
        waiting.sleep() if asleep(step) else waiting.spin()
        torch.nn.functional.mse_loss(network(rows), rows).backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cat([weight.flatten() for weight in network.parameters()]).detach().numpy().tobytes()
spun = learnt(lambda step: False)
print(spun == learnt(lambda step: True), spun == learnt(lambda step: step % 4 < 2))
"""

WATCHED = """
import threading, time, torch
from model.hardware.waiting import watch
torch.set_num_threads(2)
watch()
watch()
time.sleep(1)
print(sorted(thread.name for thread in threading.enumerate()))
"""


@pytest.fixture
def ours() -> Iterator[Waiting]:
    assert LIBRARY is not None
    found = Waiting(LIBRARY, len(os.sched_getaffinity(0)))
    yield found
    found.spin()


def run(program: str) -> list[str]:
    """What a program prints that runs without the tests' own choice of how to wait."""
    kept = {name: value for name, value in os.environ.items() if name not in (*CHOSEN, "OMP_NUM_THREADS")}
    made = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=120, check=True)
    return made.stdout.split()


@pytest.fixture
def neighbours() -> Iterator[None]:
    """A busy process for each processor."""
    command = [sys.executable, "-c", BURN]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in os.sched_getaffinity(0)]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    yield
    for process in started:
        process.kill()
        process.communicate()


def test_threads_sleep_at_once_beside_other_work_and_spin_again_only_after_a_while_without(ours: Waiting) -> None:
    ours.decide(BUSY)
    assert ours.asleep
    for _ in range(CALM - 1):
        ours.decide(CALM_MACHINE)
        assert ours.asleep
    ours.decide(CALM_MACHINE)
    assert not ours.asleep


def test_a_load_that_comes_and_goes_does_not_make_them_change_their_minds(ours: Waiting) -> None:
    for number in range(10 * CALM):
        ours.decide(CALM_MACHINE if number % CALM else BUSY)
        assert ours.asleep


def test_a_small_load_changes_nothing(ours: Waiting) -> None:
    between = (waiting.CROWDED + waiting.FREE) / 2
    for first in (BUSY, CALM_MACHINE):
        ours.decide(first, first=True)
        before = ours.asleep
        for _ in range(3 * CALM):
            ours.decide(between)
            assert ours.asleep == before


def test_a_machine_first_seen_idle_is_ours_at_once(ours: Waiting) -> None:
    ours.sleep()
    ours.decide(CALM_MACHINE, first=True)
    assert not ours.asleep


def test_threads_that_are_fewer_than_the_processors_leave_room_for_others() -> None:
    assert not crowded(threads=4, count=8, others=4)
    assert crowded(threads=4, count=8, others=4.5)
    assert crowded(threads=4, count=2, others=0), "a container's quota below the threads"


def test_the_threads_that_make_others_sleep_end_with_the_load(ours: Waiting) -> None:
    before = threading.active_count()
    for _ in range(3):
        ours.sleep()
        assert threading.active_count() == before + 1
        ours.spin()
        assert threading.active_count() == before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="threads never spin where they outnumber the processors")
def test_a_thread_that_waits_asleep_takes_less_of_a_processor_than_one_that_spins() -> None:
    spinning, asleep, again = map(float, run(WAITS))
    assert asleep < 0.6 * spinning
    assert asleep < 0.6 * again


def test_no_bit_of_what_is_learnt_depends_on_how_threads_wait() -> None:
    assert run(LEARNS) == ["True", "True"]


@pytest.mark.usefixtures("neighbours")
def test_a_process_that_starts_beside_others_lets_its_threads_sleep_and_is_watched_once() -> None:
    assert " ".join(run(WATCHED)) == "['MainThread', 'idle threads', 'waiting']"


@pytest.mark.parametrize("name", CHOSEN)
def test_what_a_person_chose_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in CHOSEN:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "1000")
    before = threading.active_count()
    with torch_threads(2):
        assert threading.active_count() == before


@pytest.mark.usefixtures("neighbours")
def test_the_work_of_others_is_measured_and_our_own_is_not() -> None:
    others, count = OtherWork(), len(os.sched_getaffinity(0))
    began, before = time.monotonic(), time.process_time()
    while time.monotonic() < began + 1:
        pass
    ours = time.process_time() - before
    assert ours > 0.02, "a share of one processor"
    assert others.processors() + ours == pytest.approx(count, abs=0.3)
