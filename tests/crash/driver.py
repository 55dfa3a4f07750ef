"""The real command line, with a death at a named point: `python -m tests.crash.driver POINT TARGET STAGING folio-words...`.

Nothing in folio knows of it. Points are seen from outside, by Python's audit events (a file opened, a folder renamed) and by a thread that
looks at the disk. TARGET begins the path of the artifact, up to the digits of its key: what it will have read is not known before. STAGING
is where it is being made.
"""

from __future__ import annotations

import glob
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

POINTS = {
    "writing": "the first byte of its output is on disk",
    "record": "it is made, its record is not written",
    "move": "its record is written, it is not moved into the store",
    "done": "its record is there",
    "training": "between two checkpoints",
    "checkpoint": "a checkpoint is half written",
}
VICTIMS = {"pipeline": (signal.SIGKILL,), "hang-up": (signal.SIGHUP,), "Ctrl-C twice": (signal.SIGINT, signal.SIGINT)}
CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "shutil.rmtree", "os.mkdir"}


class Death:
    """Waits for its point and then ends: this process, in one way or another, or its training workers apart."""

    def __init__(self, point: str, victim: str, target: Path, staging: Path) -> None:
        self.point, self.victim = point, victim
        self.target = os.fspath(target)
        self.staging = staging
        self.busy = threading.local()
        self.began = time.time()
        self.workers: list[psutil.Process] = []

    def comes(self) -> None:
        """Kill -9, or what a terminal sends."""
        for number in VICTIMS.get(self.victim, ()):
            self.point = "over"
            os.kill(os.getpid(), number)
            time.sleep(0.2)
        for worker in self.workers if self.victim == "workers" else ():
            worker.kill()
        if self.workers:
            self.point = "over"

    def folders(self, name: str) -> list[Path]:
        """The folders of this name of whoever works there."""
        return [path for path in self.staging.glob(f"*/{name}") if not path.parent.name.startswith(("taken-", "left-", "aside-"))]

    def find_workers(self) -> None:
        """Have the workers at hand, since looking for them takes longer than a checkpoint; when they work, signals are heeded."""
        if (
            self.victim != "pipeline"
            and not self.workers
            and any((resume / "run" / "worker-0.log").exists() for resume in self.folders("resume"))
        ):
            self.workers = [
                child for child in psutil.Process().children(recursive=True) if "model.training.launch.worker" in child.cmdline()
            ]

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python at every event of its own, this one's file operations included."""
        if event not in CHANGES or getattr(self.busy, "looking", False):
            return
        self.busy.looking = True
        try:
            if event == "os.rename":
                final = os.fspath(arguments[1])
                if (self.point == "move" and final.startswith(self.target)) or (
                    self.point == "record" and final.startswith(os.fspath(self.staging)) and final.endswith("/output/artifact.json")
                ):
                    self.comes()
            elif self.point == "done" and glob.glob(f"{self.target}*/artifact.json"):  # noqa: PTH207  # in a hook, as little as can be
                self.comes()
            elif self.point == "writing" and event == "open" and str(arguments[0]).startswith(os.fspath(self.staging)):
                self.look()
        finally:
            self.busy.looking = False

    def look(self) -> None:
        """Whether the disk shows that the point is reached."""
        if self.point == "writing" and any(p.stat().st_size for o in self.folders("output") for p in o.rglob("*") if p.is_file()):
            self.comes()
        elif self.victim != "pipeline" and not self.workers:
            return
        elif self.point in ("training", "checkpoint"):
            for resume in self.folders("resume"):
                if (resume / "latest.json").exists():
                    self.look_at(resume)

    def look_at(self, resume: Path) -> None:
        """Whether checkpoints show that the point is reached."""
        step = int((resume / "latest.json").read_text().split('"step":')[1].split(",")[0])
        # What an earlier launch has left half written doesn't count.
        begun = [p for p in resume.glob("step-*") if int(p.name[5:]) > step and p.stat().st_mtime > self.began]
        if begun and any(begun[0].iterdir()) if self.point == "checkpoint" else not begun:
            self.comes()

    def watch(self) -> None:
        """Look at the disk all the time."""
        self.busy.looking = True
        while True:
            with suppress(OSError, ValueError, psutil.Error):  # what is looked at has just gone or is being written
                self.find_workers()
                self.look()
            time.sleep(0.001)


def main(point: str, victim: str, target: str, staging: str, *words: str) -> None:
    """Run folio's command line towards its death."""
    if point != "none":
        death = Death(point, victim, Path(target), Path(staging))
        sys.addaudithook(death.hook)
        threading.Thread(target=death.watch, daemon=True).start()
    sys.argv = ["folio", *words]
    from flows.cli.app import main as folio

    folio()


if __name__ == "__main__":
    main(*sys.argv[1:])
