"""Replay this repository's own commits as edits of a finished run: python -m tests.identity.history --seed 1 --commits 40 [--jobs 1]

What is tested is the tracer of this checkout, edits that are not committed included. A commit is undone on today's code (`commits`), which
gives the tree as if it had never been made. Undone and today's code are then two states of the sources that differ by what a person once
wrote in one go. The recipe four_books runs:

- *fresh*: undone code in an empty store. Its bytes are what undone code makes.
- *redo*: then the commit is made again, as it once was: today's code runs on that store. Fresh bytes: today's, made once for all commits.
- *undo*: undone code runs on a copy of the store that today's code filled. Fresh bytes: those of *fresh*.

For each position of an edited run: it was *reused* or it ran; and its bytes (the artifact's digest: all files but logs/) are those of the
fresh run or not. Reused with other bytes is a **fault**: the tracer missed what the edit changed. So is a run that ends in another way than
the fresh one. Ran and yet other bytes than fresh is named *unlike*, and fails, too: it follows from a fault before it, or a stage is not
deterministic. Ran to the bytes that the earlier run had at that position is *waste* (with equal inputs or not, whatever the cause).
Before all this, today's code runs fresh twice, in two folders, and every byte must agree: else there is nothing to compare with.

What it proves: on commits drawn by a seed from those that can be undone, no stage of four_books was reused that would have differed.
What it does not: commits whose lines have changed since can't be undone and are drawn again (told and counted), so later commits and small
ones are more frequent than in the history; code that four_books doesn't run can't be at fault here; every commit is undone on today's code,
not replayed on the code of its day; a byte that differs in logs/ or in a record's metrics alone isn't seen. Commits that touch the tracer
itself (tasks/stage/identity) are not drawn.

Results stay below `--work`, by the checkout's code: a second call goes on where the first ended, and other code begins anew.
Ends with 1 on a fault. What a fault left stays below `--work`, to be looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from tests.identity import bench, commits
from tests.identity.commits import Commit

RECIPE = "four_books"
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

    def __init__(self, work: Path, prefect: str) -> None:
        self.today, self._prefect = commits.today(), prefect
        self.folder = work / self.today[:12]
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
        self._finished, again = self._run(self._base), self._run(self.folder / "again")
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
            fresh = self._run(redo)
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
        for name in ("rooms", RECIPE):
            shutil.rmtree(folder / name, ignore_errors=True)
        commits.write_rooms(tree, folder / "rooms")
        shutil.copytree(folder / "rooms" / "flows" / "recipe" / RECIPE, folder / RECIPE)
        shutil.copy2(folder / "rooms" / "flows" / "recipe" / f"{RECIPE}.yaml", folder / "recipe.yaml")

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


def replayed(replay: Replay, seed: int, wanted: int, jobs: int, again: Counter[str]) -> Iterator[tuple[Commit, dict[str, Verdict]]]:
    """Yield the verdicts of as many commits as are wanted, in the order of the draw; count those drawn again, by why."""

    def undoable() -> Iterator[tuple[Commit, str]]:
        for commit in commits.drawn(seed):
            if tree := commits.undone(commit, replay.today):
                yield commit, tree
            else:
                again["lines changed since"] += 1

    order, left = undoable(), wanted
    with ThreadPoolExecutor(jobs) as pool:
        while some := list(islice(order, min(jobs, left))):
            for (commit, _), result in zip(some, pool.map(lambda drawn: replay.result(*drawn), some), strict=True):
                if isinstance(result, str):
                    again["undone code does not run"] += 1
                    print(f"{commit.id[:8]}  drawn again, undone code does not run: {result}", flush=True)
                else:
                    left -= 1
                    yield commit, result


def main() -> int:
    """Replay, and print a line for each commit and direction."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="draws the commits")
    parser.add_argument("--commits", type=int, default=40, help="how many are replayed")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-history", help="where results stay")
    given = parser.parse_args()
    replay = Replay(given.work.resolve(), serve(given.work))
    replay.prepare()
    print(f"code {replay.today[:12]}, seed {given.seed}; results stay in {replay.folder}")
    print(f"{'commit':8}  {'files':>5}  edit  {'ran':>3}  {'waste':>5}  {'reused':>6}  {'unlike':>6}  {'faults':>6}  seconds", flush=True)
    counted: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for commit, verdicts in replayed(replay, given.seed, given.commits, given.jobs, again):
        counted["commits"] += 1
        for direction, verdict in verdicts.items():
            numbers = {name: len(getattr(verdict, name)) for name in ("ran", "waste", "reused", "unlike", "faults")}
            counted.update(numbers)
            print(
                f"{commit.id[:8]}  {len(commit.files):5}  {direction}  {numbers['ran']:3}  {numbers['waste']:5}  {numbers['reused']:6}"
                f"  {numbers['unlike']:6}  {numbers['faults']:6}  {verdict.seconds:7.0f}  {commit.subject[:72]}",
                flush=True,
            )
            for name in ("faults", "unlike", "waste"):
                for position in getattr(verdict, name)[: 1 if name == "waste" else None]:
                    print(f"{'':17}{name}: {position}: {'; '.join(verdict.causes.get(position, ()))[:200]}", flush=True)
    print(
        f"{counted['commits']} commits, each undone and made again: {counted['reused']} stages reused, {counted['ran']} ran, of these "
        f"{counted['waste']} to equal bytes; {counted['unlike']} unlike, {counted['faults']} faults; drawn again: {dict(again)}"
    )
    return 1 if counted["faults"] or counted["unlike"] else 0


def serve(work: Path) -> str:
    """Start a Prefect server that lives as long as this process, and return its address."""
    from tests import prefect_server

    work.mkdir(parents=True, exist_ok=True)
    port = prefect_server.free_port()
    os.environ |= {
        "FOLIO_HOME": tempfile.mkdtemp(prefix="folio-history-home-"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "COLUMNS": "100",
        "PREFECT_API_URL": f"http://{prefect_server.HOST}:{port}/api",
    }
    from flows.services import servers

    servers.configure()
    prefect_server.ensure(port, Path(os.environ["FOLIO_HOME"]), os.getpid())
    return os.environ["PREFECT_API_URL"]


if __name__ == "__main__":
    sys.exit(main())
