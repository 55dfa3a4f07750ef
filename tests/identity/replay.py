"""One commit undone and made again on a finished run, and what the tracer did with either edit (`history` says what is compared)."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from tests.identity import bench, commits
from tests.identity.commits import Commit

# name -> its file, and the folder of its texts beside it; of the code's own recipes those that the code has.
RECIPES = {
    "four_books": (Path("rooms/flows/recipe/four_books.yaml"), "four_books"),
    "tiny": (Path(__file__).with_name("recipe.yaml"), "books"),
}
SMALL = ("tracking=none", "resources.threads=1", "resources.training.threads=1")
RUN_SECONDS = 900
END_SECONDS = 30
REUSED = "reused"


class DoesNotRun(RuntimeError):
    """A run did not come to its end."""


@dataclass(frozen=True)
class Position:
    """What a run had at one position: whether it ran it, the digest of its files, and why it ran."""

    action: str
    digest: str
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """What a run came to. `stopped`: the gate that stopped it; empty: none."""

    positions: Mapping[str, Position]
    stopped: str
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """What the tracer did with one edit, by positions. `faults`: reused with other bytes than fresh, or another end."""

    reused: tuple[str, ...]
    ran: tuple[str, ...]
    waste: tuple[str, ...]
    faults: tuple[str, ...]
    unlike: tuple[str, ...]
    causes: dict[str, tuple[str, ...]]
    seconds: float


def judge(edited: Run, before: Run, fresh: Run) -> Verdict:
    """Compare a run after an edit with the one before it, and with what the edited code makes of nothing."""
    actions = {position: had.action == REUSED for position, had in edited.positions.items()}
    equal = {position for position, had in edited.positions.items() if _digest(fresh, position) == had.digest}
    # Beside a gate that stops a run, other positions end before that or don't.
    seen = {position for position in edited.positions if position in fresh.positions or not fresh.stopped}
    faults = [position for position, reused in actions.items() if reused and position in seen - equal]
    if edited.stopped != fresh.stopped:
        faults.append(f"stopped by {edited.stopped or 'no gate'}, fresh by {fresh.stopped or 'no gate'}")
    faults += [f"{position} is missing" for position in fresh.positions if position not in edited.positions and not fresh.stopped]
    ran = tuple(position for position, reused in actions.items() if not reused)
    return Verdict(
        reused=tuple(position for position, reused in actions.items() if reused),
        ran=ran,
        waste=tuple(position for position in ran if edited.positions[position].digest == _digest(before, position)),
        faults=tuple(faults),
        unlike=tuple(position for position in ran if position in seen - equal),
        causes={position: edited.positions[position].causes for position in ran},
        seconds=edited.seconds,
    )


def _digest(run: Run, position: str) -> str:
    return run.positions[position].digest if position in run.positions else ""


class Replay:
    """Replays commits on the code of one checkout; a commit's verdicts are kept, and made once."""

    def __init__(self, work: Path, recipe: str, prefect: str) -> None:
        self.today, self._prefect = commits.today(), prefect
        self._recipe, self._texts = RECIPES[recipe]
        self.folder = work / f"{recipe}-{self.today[:12]}"
        self._base = self.folder / "today"

    def prepare(self) -> None:
        """Make the finished run of today's code, twice. Raise RuntimeError if two fresh runs differ."""
        kept = self.folder / "today.json"
        if kept.exists():
            self._finished = _read(kept)
            return
        for folder in (self._base, self.folder / "again"):
            shutil.rmtree(folder, ignore_errors=True)
            self._lay(folder, self.today)
        self._finished, again = self._fresh(self._base), self._fresh(self.folder / "again")
        differing = [position for position in self._finished.positions if _digest(again, position) != _digest(self._finished, position)]
        if differing or self._finished.stopped:
            why = self._finished.stopped or f"differ at {', '.join(differing)}"
            raise RuntimeError(f"Two fresh runs of today's code can't be compared with others: {why}")
        shutil.rmtree(self.folder / "again", ignore_errors=True)
        kept.write_text(json.dumps(asdict(self._finished)))

    def result(self, commit: Commit, tree: str) -> dict[str, Verdict] | str:
        """Return the verdicts of a commit, by direction, or why its tree does not run; from its file, if an earlier call made them."""
        kept = self.folder / f"{commit.id}.json"
        if not kept.exists():
            result = self._replay(commit, tree)
            plain = result if isinstance(result, str) else {direction: asdict(verdict) for direction, verdict in result.items()}
            beside = kept.with_suffix(".part")
            beside.write_text(json.dumps(plain, indent=1))
            beside.replace(kept)
        known = json.loads(kept.read_text())
        return known if isinstance(known, str) else {direction: Verdict(**verdict) for direction, verdict in known.items()}

    def _replay(self, commit: Commit, tree: str) -> dict[str, Verdict] | str:
        folders = redo, undo = [self.folder / f"{commit.id[:12]}-{direction}" for direction in ("redo", "undo")]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            self._lay(folder, tree)
        try:
            fresh = self._fresh(redo)
        except DoesNotRun as error:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            return str(error)
        self._lay(redo, self.today)
        shutil.copytree(self._base / "home", undo / "home", symlinks=True)
        verdicts = {
            "redo": self._judged(redo, fresh, self._finished),
            "undo": self._judged(undo, self._finished, fresh),
        }
        for folder, verdict in zip(folders, verdicts.values(), strict=True):
            if not verdict.faults and not verdict.unlike:
                shutil.rmtree(folder, ignore_errors=True)
        return verdicts

    def _judged(self, folder: Path, before: Run, fresh: Run) -> Verdict:
        try:
            return judge(self._run(folder), before, fresh)
        except DoesNotRun as error:
            return Verdict((), (), (), (f"does not run, though a fresh run does: {error}",), (), {}, 0.0)

    def _lay(self, folder: Path, tree: str) -> None:
        """Put the code of a tree into a folder, with the recipe that it has; what ran there before stays."""
        for name in ("rooms", self._texts):
            shutil.rmtree(folder / name, ignore_errors=True)
        commits.write_rooms(tree, folder / "rooms")
        shutil.copy2(folder / self._recipe, folder / "recipe.yaml")
        shutil.copytree((folder / self._recipe).with_name(self._texts), folder / self._texts)

    def _fresh(self, folder: Path) -> Run:
        """Run the recipe in an empty store. Raise RuntimeError if anything was reused, whatever from: it would be no oracle."""
        assert not (folder / "home").exists(), f"{folder} has been run in"
        run = self._run(folder)
        if reused := [position for position, had in run.positions.items() if had.action == REUSED]:
            raise RuntimeError(f"A fresh run in {folder} reused {', '.join(reused)}: it shares something with another run")
        return run

    def _run(self, folder: Path) -> Run:
        """Run the recipe in a process of its own, which takes all code from the folder."""
        ours, theirs = bench.forking().Pipe()
        worker = bench.forking().Process(target=run_there, args=(theirs, folder, self._prefect))
        worker.start()
        theirs.close()
        try:
            told = ours.recv() if ours.poll(RUN_SECONDS) else f"no end after {RUN_SECONDS} s"
            worker.join(END_SECONDS if told else 0)
        except EOFError:
            told = "its process ended"
        if worker.is_alive():
            end_family(worker.pid)
        worker.join()
        if isinstance(told, str):
            raise DoesNotRun(told)
        return _run_of(told)


def run_there(answer: Connection, folder: Path, prefect: str) -> None:
    """Run the recipe of a folder and send what came of it, as plain data; or one line that says why nothing did."""
    try:
        began = time.monotonic()
        site = bench.enter(folder, prefect)
        site.asked.changes = SMALL
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        import flows

        assert flows.__file__ == str(site.rooms / "flows" / "__init__.py"), f"code comes from {flows.__file__}"
        with temporary_settings({PREFECT_API_URL: prefect, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            stopped = bench.run_once(site)
        _, record = bench.last_run(site)
        had = {name: Position(p.action, p.digest, p.causes) for name, p in record.positions.items()}
        answer.send(asdict(Run(had, stopped, time.monotonic() - began)))
    except BaseException as error:  # noqa: BLE001  # told as what it is, whatever it is
        answer.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def end_family(pid: int | None) -> None:
    """End a process that did not, and all that it began."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(pid)
        for process in (*family.children(recursive=True), family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _read(path: Path) -> Run:
    return _run_of(json.loads(path.read_text()))


def _run_of(plain: Mapping[str, object]) -> Run:
    positions, stopped, seconds = plain["positions"], plain["stopped"], plain["seconds"]
    assert isinstance(positions, dict) and isinstance(stopped, str) and isinstance(seconds, float)
    return Run({name: Position(**had) for name, had in positions.items()}, stopped, seconds)
