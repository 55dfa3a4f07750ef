"""Processes of the models that people talk to on the page: one for each model, started when it is first asked, ended when it is idle.

The page itself loads no torch. A process listens on loopback with a key of its own and ends with the page, however that ends. At most
`most` run at once, the one that has been idle the longest makes room, and none starts that the machine's free memory can't hold.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from model.hardware.waiting import cores
from model.serving.process import KEY, PARENT, Child, python
from model.serving.served import ServeLimits
from tasks.reporting.wording import size

MOST, IDLE_SECONDS = 2, 600.0
OWN_BYTES = 600 << 20  # of a process before it reads any weights: Python and torch
SERVED = "model"  # what a process calls its model, so that no error of it says which of two it is
LIMITS = ServeLimits(rows=2, waiting=4, choices=1, max_tokens=2048, reply_seconds=120, prefix_tokens=8192, prefix_bytes=64 << 20)


class ModelUnavailable(RuntimeError):
    """A model can't be started now, and why, in words that name no model."""


@dataclass
class _Slot:
    """A model's process. `users`: replies that it writes or that wait for its start; `last`: when the last of them ended."""

    child: Child | None = None
    users: int = 0
    last: float = 0.0
    starting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.alive

    def close(self) -> None:
        if self.child is not None:
            self.child.close()


def _free_memory() -> int:
    return int(psutil.virtual_memory().available)


@dataclass
class ModelProcesses:
    """The processes of a page, by the folders of their models."""

    most: int = MOST
    idle_seconds: float = IDLE_SECONDS
    free_memory: Callable[[], int] = _free_memory
    _slots: dict[Path, _Slot] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _watch: threading.Thread | None = None

    def acquire(self, folder: Path) -> Child:
        """Return the process of a model, once it answers; it stays at least until `release`. Takes seconds if it must start.

        Raise ModelUnavailable if there is no room for it, and ChildError if it ends while starting.
        """
        slot = self._enter(folder)
        try:
            with slot.starting:
                if slot.child is None or not slot.alive:
                    self._require_memory(folder)
                    slot.child = Child(python("flows.page.model_processes", str(folder), "{port}"), "the model")
                return slot.child
        except BaseException:
            self.release(folder)
            raise

    def release(self, folder: Path) -> None:
        """Say that a reply has ended."""
        with self._lock:
            slot = self._slots[folder]
            slot.users, slot.last = slot.users - 1, time.monotonic()
            if not slot.users and not slot.alive:
                del self._slots[folder]

    def running(self) -> list[Path]:
        """Return the folders of the models whose processes run."""
        with self._lock:
            return [folder for folder, slot in self._slots.items() if slot.alive]

    def close(self) -> None:
        """End all processes."""
        self._closed.set()
        with self._lock:
            ended, self._slots = list(self._slots.values()), {}
        for slot in ended:
            slot.close()

    def _enter(self, folder: Path) -> _Slot:
        with self._lock:
            slot, ended = self._slots.get(folder), None
            if slot is None:
                if len(self._slots) >= self.most:
                    ended = self._slots.pop(self._idlest())
                slot = self._slots[folder] = _Slot()
            slot.users += 1
            if self._watch is None:
                self._watch = threading.Thread(target=self._end_idle, daemon=True)
                self._watch.start()
        if ended is not None:
            ended.close()
        return slot

    def _idlest(self) -> Path:
        idle = [folder for folder, slot in self._slots.items() if not slot.users]
        if not idle:
            raise ModelUnavailable(f"{self.most} models are writing replies, and no more run at once here; ask again when one has ended")
        return min(idle, key=lambda folder: self._slots[folder].last)

    def _require_memory(self, folder: Path) -> None:
        # Stored at two bytes a number, weights are computed with at four.
        needed = OWN_BYTES + 2 * sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        if (free := self.free_memory()) < needed:
            raise ModelUnavailable(f"a model needs {size(needed)} of memory, and {size(free)} is free; end other programs, then ask again")

    def _end_idle(self) -> None:
        while not self._closed.wait(min(10.0, self.idle_seconds / 4)):
            with self._lock:
                since = time.monotonic() - self.idle_seconds
                idle = [folder for folder, slot in self._slots.items() if not slot.users and slot.last < since]
                ended = [self._slots.pop(folder) for folder in idle]
            for slot in ended:
                slot.close()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main(folder: str, port: str) -> None:
    """Serve the model of a folder on loopback until the page that started this process ends."""
    # These load torch, which the page, whose module this is too, does without.
    from model.serving.app import compute_with, serve
    from model.serving.connections import bound
    from model.serving.opening import Offer, open_served

    threading.Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
    key, threads = os.environ[KEY], max(1, cores() // MOST)
    compute_with(threads)
    model = open_served(Offer(SERVED, Path(folder)), LIMITS, backend="folio", threads=threads)
    serve({SERVED: model}, LIMITS, bound("127.0.0.1", int(port), key), key, lambda address: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
