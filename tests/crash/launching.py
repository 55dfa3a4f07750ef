"""Launches of the real command line towards a kill, and what they leave in the store."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.stage.identity.key import KEY_DIGITS
from tasks.stage.store.index import ADDRESS_DIGITS

ROOT = Path(__file__).parents[2]
RECIPE = Path(__file__).parent / "recipe.yaml"
GONE_SECONDS = 60.0
FOLLOWED_SECONDS = 180.0
EVERYTHING = "all its processes"


@dataclass(frozen=True)
class Kill:
    """What is killed and when. Without a position: nothing."""

    position: str = ""
    point: str = "none"
    victim: str = "pipeline"


@dataclass(frozen=True)
class Launch:
    """One launch: how it ended, what it said, which positions it executed, and which were whole in the store before and after it."""

    kill: Kill
    code: int
    out: str
    err: str
    seconds: float
    before: frozenset[str]
    after: frozenset[str]

    @property
    def executed(self) -> list[str]:
        """The positions whose bodies were begun, in order."""
        return re.findall(r"^(\S+): runs because", self.out, re.MULTILINE)


@dataclass
class Bench:
    """A store of its own, in a home of its own, on a Prefect server that all benches share."""

    home: Path
    environment: dict[str, str]
    known: dict[str, Record] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def store(self) -> Path:
        """Where the artifacts lie."""
        return self.home / "store"

    def launch(self, *words: str, kill: Kill = Kill(), after: float | None = None) -> Launch:
        """Run the recipe until it ends or is killed; no process of it is alive afterwards. `after`: seconds until kill -9 from outside."""
        record = self.known.get(kill.position)
        if record and kill.position in self.whole():
            # A shard that came in beside the one that was killed: it is to be made under this launch's eyes.
            shutil.rmtree(self.store / self.records()[kill.position].location)
        target = self.store / record.location[: KEY_DIGITS - ADDRESS_DIGITS] if record else self.store
        staging = self.store / ".staging" / f"{record.stage}-{record.key[:16]}" if record else self.store
        command = [
            sys.executable,
            "-m",
            "tests.crash.driver",
            kill.point,
            kill.victim,
            str(target),
            str(staging),
            "run",
            str(RECIPE),
            *words,
        ]
        before, began = frozenset(self.whole()), time.monotonic()
        process = subprocess.Popen(
            command,
            env=self.environment | {"FOLIO_HOME": str(self.home)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=600 if after is None else after)
        except subprocess.TimeoutExpired:
            assert after is not None, "the run does not end"
            for victim in [process, *(psutil.Process(process.pid).children(recursive=True) if kill.victim == EVERYTHING else ())]:
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
            out, err = process.communicate(timeout=GONE_SECONDS)
        self.wait_for_workers()
        return Launch(kill, process.returncode, out, err, time.monotonic() - began, before, frozenset(self.whole()))

    def wait_for_workers(self) -> None:
        """Fails when a training worker outlives the run that launched it."""
        self._wait_for("model.training.launch.worker", GONE_SECONDS)

    def wait_for_followers(self) -> None:
        """Fails when a follower of a run lives longer than it tries to reach servers."""
        self._wait_for("tasks.stage.recovery.follower", FOLLOWED_SECONDS)

    def _wait_for(self, module: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while left := [p for p in psutil.process_iter(["cmdline"]) if self._runs(module, " ".join(p.info["cmdline"] or []))]:
            assert time.monotonic() < deadline, f"{module} outlived its run: {left}"
            time.sleep(0.05)

    def _runs(self, module: str, command: str) -> bool:
        return module in command and str(self.store) in command

    def records(self) -> dict[str, Record]:
        """What lies in the store, by position in the flow, in the order in which it was made."""
        found = [Record.read(path) for path in self.store.glob("[a-z]*/*/artifact.json")]
        return {record.position: record for record in sorted(found, key=lambda record: record.created)}

    def whole(self) -> list[str]:
        """The positions whose record is in the store."""
        return list(self.records())

    def digests(self) -> dict[str, str]:
        """A hash of the names and bytes of each position's files, logs and record aside."""
        return {position: tree(self.store / record.location) for position, record in self.records().items()}


@dataclass(frozen=True)
class Record:
    """What an artifact's record says of where it lies."""

    stage: str
    position: str
    key: str
    location: str
    created: str

    @classmethod
    def read(cls, path: Path) -> Record:
        """From an `artifact.json`."""
        content = json.loads(path.read_text())
        where = content["label"].partition("-")[2]
        position = content["stage"] + (f"[{where}]" if where.isdigit() else f".{where}" if where else "")
        return cls(content["stage"], position, content["key"], content["location"], content["origin"]["created"])


def tree(folder: Path) -> str:
    """Hash of the files below a folder, as anyone would compute it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "artifact.json" and not name.startswith("logs/"):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()
