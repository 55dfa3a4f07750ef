"""Choose how threads of torch wait for each other: awake while the machine is ours, asleep as soon as others use it too.

A product is split among threads, and each then waits for the slowest. libgomp, OpenMP's library in torch, lets them spin for some
milliseconds first. On an idle machine that is right, since waking up costs more than the gap between two products. Beside other work
it is ruinous: a thread that spins holds the processor that the thread it waits for needs, and training falls to a tenth.

libgomp reads GOMP_SPINCOUNT once, when it is loaded. But at every wait it counts its threads, and where there are more of them than
processors it spins a three-thousandth as long. So `watch` keeps some idle threads in libgomp while others use the machine, and ends them
after. They compute nothing: each product is still split among as many threads, and no bit of a result changes.

Cost: a thread that wakes up twice a second, and while others are there, stacks of a few threads that sleep. Does nothing on systems other
than Linux, with another OpenMP library, or where OMP_WAIT_POLICY or GOMP_SPINCOUNT say how to wait.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
STAT, MAPS, QUOTA = Path("/proc/stat"), Path("/proc/self/maps"), Path("/sys/fs/cgroup/cpu.max")
FIRST_SECONDS, SECONDS, CALM = 0.25, 0.5, 6
"""How long to look before the first decision and each later one, and how many calm looks in a row end a time of sleep."""
CROWDED, FREE = 0.4, 0.25
"""Processors that others use of those we want: from the first on threads sleep, below the second they spin again."""
MOST_IDLE = 64
"""Idle threads at most: where a process computes with fewer threads than there are processors less this, they don't count enough."""
STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq")


class OtherWork:
    """Measures how many processors other processes use, of those that this one may use: none where the system does not say."""

    def __init__(self) -> None:
        self._then = self._now()

    def processors(self) -> float:
        """Return their number since the last call, or since the start."""
        (clock, busy, own), self._then = self._then, self._now()
        return max(0.0, (self._then[1] - busy - (self._then[2] - own)) / max(1e-9, self._then[0] - clock))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Return seconds: of the clock, of our processors at work, and of this process's work."""
        clock, own, busy = time.monotonic(), time.process_time(), 0
        try:
            lines = STAT.read_text(encoding="ascii").splitlines()
        except OSError:
            return clock, own, own
        ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        for line in lines:
            name, *ticks = line.split()
            if name in ours:
                spent = dict(zip(STATES, map(int, ticks), strict=False))
                busy += sum(spent.values()) - spent["idle"] - spent["iowait"]
        return clock, busy / os.sysconf("SC_CLK_TCK"), own


def cores() -> int:
    """Return how many processors this process's affinity names, which is all that there are where a system has none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processors() -> float:
    """Return how many processors this process may use: those of its affinity, within its container's quota."""
    count = float(cores())
    try:
        most, period = QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no container, or the first version of control groups
        return count
    return count if most == "max" else min(count, int(most) / int(period))


def crowded(threads: int, count: float, others: float, least: float = CROWDED) -> bool:
    """Return whether others use at least `least` of the processors that so many threads want, of `count` in all."""
    return threads - count + others >= least


class IdleThreads:
    """Threads that libgomp counts and that do nothing. While they live, its other threads sleep as they wait."""

    def __init__(self, library: ctypes.CDLL, count: int) -> None:
        self._end, self._made = threading.Event(), threading.Event()
        self._library, self._count = library, count
        self._thread = threading.Thread(target=self._hold, name="idle threads", daemon=True)
        self._thread.start()
        self._made.wait()

    def end(self) -> None:
        """End them. libgomp forgets them with the thread that they belong to."""
        self._end.set()
        self._thread.join()

    def _hold(self) -> None:
        # A parallel region without work: each thread calls getpid, and those of the region stay for this thread's next one.
        nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
        self._library.GOMP_parallel(nothing, None, ctypes.c_uint(self._count + 1), ctypes.c_uint(0))
        self._made.set()
        self._end.wait()


class Waiting:
    """Decides how threads wait. `asleep` says how they do now."""

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self.threads = threads
        self._library, self._calm = library, 0
        self._idle: IdleThreads | None = None

    @property
    def asleep(self) -> bool:
        """Whether threads sleep while they wait."""
        return self._idle is not None

    def decide(self, others: float, *, first: bool = False) -> None:
        """Choose for a machine of which others use that many processors; `first`: nothing was known before."""
        count = processors()
        self._calm = 0 if crowded(self.threads, count, others, FREE) else self._calm + 1
        if crowded(self.threads, count, others):
            self.sleep()
        elif self._calm >= (1 if first else CALM):
            self.spin()

    def sleep(self) -> None:
        """Let threads sleep as they wait from now on."""
        if self._idle is None:
            # As many as there are processors, since a small product is split among few threads, and only those are counted then.
            self._idle = IdleThreads(self._library, min(MOST_IDLE, os.cpu_count() or 1))

    def spin(self) -> None:
        """Let threads spin as they wait from now on."""
        if self._idle is not None:
            self._idle.end()
            self._idle = None


_started = threading.Lock()
_watched: tuple[int, Waiting] | None = None


def watch() -> None:
    """Choose how torch's threads wait, now and for as long as this process lives. Call it once torch has been told their number.

    They sleep until the machine was seen idle, a quarter of a second later. With one thread nothing waits.
    """
    import torch

    global _watched
    threads = torch.get_num_threads()
    if threads < 2 or any(os.environ.get(name) for name in CHOSEN):
        return
    with _started:
        if _watched is not None and _watched[0] == os.getpid():
            _watched[1].threads = max(threads, _watched[1].threads)
            return
        library = _torch_libgomp()
        if library is None:
            return
        others, waiting = OtherWork(), Waiting(library, threads)
        waiting.sleep()
        _watched = os.getpid(), waiting
        threading.Thread(target=_keep_watch, args=(waiting, others), name="waiting", daemon=True).start()


def _keep_watch(waiting: Waiting, others: OtherWork) -> None:
    time.sleep(FIRST_SECONDS)
    waiting.decide(others.processors(), first=True)
    while True:
        time.sleep(SECONDS)
        waiting.decide(others.processors())


def _torch_libgomp() -> ctypes.CDLL | None:
    """Return the libgomp that torch has loaded, if that is its OpenMP; scikit-learn has another of its own."""
    import torch

    folder = str(Path(torch.__file__).parent)
    try:
        paths = [line.split(maxsplit=5)[5] for line in MAPS.read_text(encoding="utf-8").splitlines() if "/libgomp" in line]
    except OSError:
        return None
    # A system's torch has the system's.
    found = next((path for path in paths if path.startswith(folder)), next((path for path in paths if "/libgomp.so" in path), None))
    return None if found is None else ctypes.CDLL(found)
