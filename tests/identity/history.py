"""Replay this repository's own commits as edits of a finished run: python -m tests.identity.history --seed 1 --commits 40 [--jobs 1]

What is tested is the tracer of this checkout, edits that are not committed included. A commit is undone on today's code (`commits`), which
gives the tree as if it had never been made. Undone and today's code are then two states of the sources that differ by what a person once
wrote in one go. A recipe (four_books, or with `--recipe tiny` the change matrix's) runs:

- *fresh*: undone code in an empty store. Its bytes are what undone code makes.
- *redo*: then the commit is made again, as it once was: today's code runs on that store. Fresh bytes: today's, made once for all commits.
- *undo*: undone code runs on a copy of the store that today's code filled. Fresh bytes: those of *fresh*.

For each position of an edited run: it was *reused* or it ran; and its bytes (the artifact's digest: all files but logs/) are those of the
fresh run or not.

- *faults*: reused with other bytes, so the tracer missed what the edit changed; or the run ended in another way than the fresh one.
- *unlike*: ran, and yet has other bytes. It follows from a fault before it, or a stage is not deterministic; it fails, too.
- *waste*: ran to the bytes that the earlier run had at that position, whatever the cause.
- *had to*: the rest of what ran. Only there and at faults do bytes differ at all, so it says how much the proof rests on.

Before all this, today's code runs fresh twice, in two folders, and every byte must agree: else there is nothing to compare with.

What it proves: on commits drawn by a seed from those that can be undone, no stage of the recipe was reused that would have differed.
What it does not: commits whose lines have changed since can't be undone and are drawn again (told and counted), so later commits and small
ones are more frequent than in the history. Code that the recipe doesn't run can't be at fault here, nor can an edit whose effect its few
texts don't show. Every commit is undone on today's code, not replayed on the code of its day. A byte that differs in logs/ or in a
record's metrics alone isn't seen. Commits that touch the tracer itself (tasks/stage/identity) are not drawn.

Results stay below `--work`, by recipe and the checkout's code: a second call goes on where the first ended, and other code begins anew.
Ends with 1 on a fault, or if fewer commits can be undone than were asked for. What a fault left stays below `--work`, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tests.identity import commits
from tests.identity.commits import Commit
from tests.identity.replay import RECIPES, Replay, Verdict


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
    parser.add_argument("--recipe", choices=RECIPES, default="four_books", help="what runs")
    given = parser.parse_args()
    replay = Replay(given.work.resolve(), given.recipe, serve(given.work))
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
        f"{counted['commits']} commits, each undone and made again: {counted['reused']} stages reused, {counted['ran']} ran, "
        f"of these {counted['waste']} to equal bytes and {counted['ran'] - counted['waste']} had to; "
        f"{counted['unlike']} unlike, {counted['faults']} faults; drawn again: {dict(again)}"
    )
    if counted["commits"] < given.commits:
        print(f"Only {counted['commits']} of {given.commits} commits could be replayed; ask for fewer.")
    return 1 if counted["faults"] or counted["unlike"] or counted["commits"] < given.commits else 0


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
