"""The identity of a process, here and in records: its number says nothing alone, since a restarted container gives it out again.

A process is this boot of the kernel, its pid namespace (a container's, mostly), its number there and the clock tick at which it began,
none of which a change of the wall clock moves. A namespace's number is given out again too, so only all of
them together tell. Where there is no /proc, it is its number and the time at which it began.

Three answers are possible: it is seen to run (`is_alive`), it is known to have ended (`has_ended`), or neither, because it can't be judged
from here: it is in another container, on another machine, or of an earlier boot, whose machine only has its name in common with this one
for all we know. What such a process holds, a lock or a lease (`locks`), then says whether it lives: kernels drop the locks of the dead,
so a container's earlier run is found dead without its number, and a run in a container beside it is not.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import psutil

PROC = Path("/proc")
TICKS, TIME, UNSEEN = "ticks ", "time ", "unseen "
"""How `began` was measured: in ticks of the kernel's clock, in seconds since 1970, or not at all."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, of all there ever were. Equal identities are the same process; `host` is for people."""

    host: str = field(compare=False)
    boot: str
    namespace: str
    pid: int
    began: str

    @staticmethod
    def this() -> ProcessIdentity:
        """Return the identity of this process."""
        return _this()

    @staticmethod
    def of(pid: int) -> ProcessIdentity | None:
        """Return the identity of the process that has a number now, be it a zombie; None if there is none, or it can't be seen."""
        here = _here()
        found = _look(pid, TICKS if here.boot else TIME) if here.sees_processes else None
        return ProcessIdentity(here.host, here.boot, here.namespace, pid, found[0]) if found is not None else None

    @staticmethod
    def at(pid: int, seconds: float) -> ProcessIdentity:
        """Return a process of this machine of which an old record knows when it began, in seconds since 1970, and nothing else."""
        return ProcessIdentity(_here().host, "", "", pid, f"{TIME}{seconds!r}")

    @staticmethod
    def read(text: str) -> ProcessIdentity | None:
        """Read what `str` has written; None if it is anything else, such as the mere number in an old record."""
        try:
            found = json.loads(text)
            identity = ProcessIdentity(**found) if isinstance(found, dict) else None
        except (ValueError, TypeError):
            return None
        return identity if identity is not None and identity._is_complete() else None

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def is_this_process(self) -> bool:
        """Return whether it is the process that asks."""
        return self == _this()

    def is_alive(self) -> bool:
        """Return whether it is seen to run. False says nothing of a process that can't be judged from here."""
        # A number and a microsecond of wall time that agree are the same process, even if the machine was renamed meanwhile.
        return self.is_this_process() or (self._may_be_seen(renamed=True) and _runs(self.pid, self.began))

    def has_ended(self) -> bool:
        """Return whether it has ended for certain, whatever has its number now. False says nothing of one that can't be judged."""
        return self.can_be_judged() and not _runs(self.pid, self.began)

    def can_be_judged(self) -> bool:
        """Return whether a process with this number would be seen from here if it ran."""
        return self._may_be_seen() and not _is_hidden(self.pid)

    def process(self) -> psutil.Process | None:
        """Return the process to signal or ask; None unless it is alive."""
        try:
            found = psutil.Process(self.pid)
        except psutil.Error:
            return None
        # In this order: psutil refuses to signal another process that gets the number after this.
        return found if self.is_alive() else None

    def _may_be_seen(self, *, renamed: bool = False) -> bool:
        here = _here()
        if not here.sees_processes or self.began.startswith(UNSEEN):
            return False
        if self.boot:
            return (self.boot, self.namespace) == (here.boot, here.namespace)
        return self.namespace in ("", here.namespace) and (renamed or self.host == here.host)

    def _is_complete(self) -> bool:
        texts = (self.host, self.boot, self.namespace, self.began)
        measured = isinstance(self.began, str) and self.began.startswith((TICKS, TIME, UNSEEN))
        return all(isinstance(text, str) for text in texts) and type(self.pid) is int and self.pid > 0 and measured


@dataclass(frozen=True)
class _Here:
    """Where this process is. `sees_processes`: whether numbers mean the same to it and to whoever lists processes."""

    host: str
    boot: str
    namespace: str
    sees_processes: bool


@cache
def _here() -> _Here:
    host = socket.gethostname()
    if not sys.platform.startswith("linux"):
        return _Here(host, "", "", sees_processes=True)
    try:
        # Ticks count from a moment that a time namespace can move.
        namespace = " ".join(str(path.readlink()) for kind in ("pid", "time") if (path := PROC / "self/ns" / kind).is_symlink())
        # A /proc that was mounted outside of this namespace numbers processes as they are numbered there.
        numbers = (PROC / "self/status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
        sees_processes = bool(namespace) and numbers == [str(os.getpid())]
    except OSError:
        namespace, sees_processes = "", False
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return _Here(host, boot, namespace, sees_processes)


@cache
def _this() -> ProcessIdentity:
    here, pid = _here(), os.getpid()
    # /proc/self is this process, however processes are numbered in /proc.
    found = _look("self", TICKS) if here.boot else _look(pid, TIME) if here.sees_processes else None
    return ProcessIdentity(here.host, here.boot, here.namespace, pid, found[0] if found is not None else f"{UNSEEN}{uuid.uuid4().hex}")


def _forget() -> None:
    _here.cache_clear()
    _this.cache_clear()


os.register_at_fork(after_in_child=_forget)


def _look(pid: int | str, clock: str) -> tuple[str, bool] | None:
    """Return when the process that has a number began, by a clock, and whether it is a zombie; None if there is none."""
    try:
        if clock == TICKS:
            # The name of the program, in parentheses, may hold anything.
            fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
            return f"{TICKS}{int(fields[19])}", fields[0] in (b"Z", b"X", b"x")
        process = psutil.Process(int(pid))
        return f"{TIME}{process.create_time()!r}", process.status() == psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return None


def _runs(pid: int, began: str) -> bool:
    return _look(pid, TICKS if began.startswith(TICKS) else TIME) == (began, False)


def _is_hidden(pid: int) -> bool:
    """Return whether there is a process that /proc does not show this user, as with the mount option hidepid."""
    if not sys.platform.startswith("linux") or _look(pid, TICKS) is not None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    # It may have begun just now; in doubt nothing is judged.
    return True
