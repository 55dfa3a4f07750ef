"""Commits of this repository undone on today's code: which may be drawn, in what order, and the tree that is left when one is undone.

Everything here is git's objects: no checkout is touched. Undoing is a three-way merge (as `git revert`), of the rooms alone.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.identity.bench import ROOMS, ROOT

FIRST = "eadce0f"
TRACER = "tasks/stage/identity/"
TELLS_CONFLICT = 1
IDENTITY = {f"GIT_{who}_{what}": "folio" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
# The same checkout is the same object, whenever it is written.
DATES = {"GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Commit:
    """A commit that touches code of ours; `files`: what it touches there."""

    id: str
    subject: str
    files: tuple[str, ...]


def drawn(seed: int) -> Iterator[Commit]:
    """Yield the commits that may be replayed, in an order that only the seed decides.

    A commit's place depends on the seed and its own id, so commits made later leave the others in their order.
    Left out: merges, commits that touch no file of the rooms, and those that touch the tracer, whose rules are what is tested.
    """
    log = _git("log", "--first-parent", "--no-merges", "--no-renames", "--name-only", "--format=%x00%H%x09%s", f"{FIRST}..HEAD")
    found = []
    for entry in log.split("\0")[1:]:
        head, _, names = entry.partition("\n")
        id_, _, subject = head.partition("\t")
        files = tuple(name for name in names.split("\n") if name.partition("/")[0] in ROOMS)
        if files and not any(name.startswith(TRACER) for name in files):
            found.append(Commit(id_, subject, files))
    yield from sorted(found, key=lambda commit: hashlib.sha256(f"{seed}:{commit.id}".encode()).digest())


def today() -> str:
    """Write the checkout as it lies there, edits that are not committed included, as a commit that no branch knows; return its id."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        _git("read-tree", "HEAD", variables=index)
        _git("add", "--all", "--", *ROOMS, variables=index)
        tree = _git("write-tree", variables=index).strip()
    rooms = "".join(line + "\n" for line in _git("ls-tree", tree, *ROOMS).splitlines())
    return _git("commit-tree", _git("mktree", given=rooms).strip(), "-m", "today", variables=IDENTITY | DATES).strip()


def undone(commit: Commit, base: str) -> str:
    """Return the tree that undoing a commit on `base` leaves; "" if its lines have changed since, or undoing it changes nothing."""
    wanted = ("merge-tree", "--write-tree", "--name-only", "--no-messages", f"--merge-base={commit.id}", base, f"{commit.id}^")
    merged = _run(*wanted)
    if merged.returncode > TELLS_CONFLICT:
        raise RuntimeError(f"git merge-tree of {commit.id}: {merged.stderr.strip()}")
    tree, *conflicts = merged.stdout.split("\n")
    if any(name.partition("/")[0] in ROOMS for name in conflicts):
        return ""
    return tree if _git("diff", "--name-only", base, tree, "--", *ROOMS) else ""


def write_rooms(tree: str, folder: Path) -> None:
    """Write the rooms of a tree or commit below a folder that is made."""
    folder.mkdir(parents=True)
    with subprocess.Popen(["git", "-C", ROOT, "archive", "--format=tar", tree, *ROOMS], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    if archive.returncode:
        raise RuntimeError(f"git archive of {tree} ended with {archive.returncode}")


def _run(*arguments: str, variables: dict[str, str] | None = None, given: str = "") -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(ROOT), "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, env={**os.environ, **(variables or {})})


def _git(*arguments: str, variables: dict[str, str] | None = None, given: str = "") -> str:
    done = _run(*arguments, variables=variables, given=given)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
