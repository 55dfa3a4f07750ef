"""What a large store costs: python -m tests.benchmarks.store [--artifacts 10000] [--folder DIR]

Every figure stands beside a limit measured in the same run: the least that anybody could do to know the same, such as one `stat` for each
file. The ratio is what folio adds. A new `Store` is opened for each figure, so that nothing is remembered in memory; what lies in the
disk's own cache is there for the limit, too. It takes about a minute and a gigabyte below DIR, by default a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tasks.stage.identity import digests
from tasks.stage.identity.digests import DigestCache, hash_files
from tasks.stage.store.artifact import RECORD, Artifact, Cost, File, InputRecord, Origin, content_digest
from tasks.stage.store.garbage import survey_garbage
from tasks.stage.store.journal import Journal, PositionRecord, RunRecord
from tasks.stage.store.origin import installed, now
from tasks.stage.store.store import Store

STAGES, RECIPES, FILES, KEYS = 20, 5, 4, 40
HUGE, HUGE_BYTES = 20, 5_000_000_000
PIECES, PIECE_BYTES = 8, 100_000_000
T = TypeVar("T")


def main() -> None:
    """Make the stores, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--artifacts", type=int, default=10_000)
    arguments.add_argument("--folder", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="folio-benchmark-", dir=given.folder) as folder:
        many(Path(folder), given.artifacts)
        huge(Path(folder))
        throughput(Path(folder))


def many(folder: Path, count: int) -> None:
    """A store of many artifacts."""
    made, seconds = timed(lambda: write_store(folder / "store", count))
    print(f"{count:,} artifacts of {FILES} files in {STAGES} stages, written in {seconds:.1f} s; the times of {KEYS} keys, then of all")
    every = max(1, len(made) // KEYS)
    asked = made[::every][:KEYS]

    def opened() -> Store:
        return Store(str(folder / "store"), folder / "cache", DigestCache(folder / "digests.db"))

    def find(*, labelled: bool, flip: bool = False) -> Callable[[], object]:
        store = opened()
        keys = [a.key[::-1] if flip else a.key for a in asked]
        return lambda: [store.find(a.stage, key, label=a.label if labelled else None) for a, key in zip(asked, keys, strict=True)]

    def parsed(artifacts: Iterable[Artifact]) -> list[object]:
        return [json.loads((folder / "store" / a.location / RECORD).read_bytes()) for a in artifacts]

    def looked_up() -> object:
        return parsed(asked), statted(folder / "store", asked)

    def listed() -> list[list[str]]:
        return [[entry.name for entry in os.scandir(stage) if entry.is_dir()] for stage in (folder / "store").iterdir()]

    time.sleep(digests.SETTLE_SECONDS + 0.1)
    row("find, the first time after the commit: small files are read once more", find(labelled=True), looked_up)
    row("find, label known", find(labelled=True), looked_up)
    row("find, label unknown", find(labelled=False), looked_up)
    row("find, no such key", find(labelled=True, flip=True), listed)
    store = opened()
    row("newest of a stage and label", lambda: [store.latest(a.stage, a.label) for a in asked], looked_up)
    store = opened()
    row("list all", lambda: [store.index.locations(stage) for stage in store.index.stages()], listed)
    store = opened()
    row("read all records", lambda: list(store.records()), lambda: parsed(made))
    store = opened()
    row("verify all, the first time", lambda: [store.check(a, digests=False) for a in made], lambda: statted(folder / "store", made))
    store = opened()
    row("verify all", lambda: [store.check(a, digests=False) for a in made], lambda: statted(folder / "store", made))
    store = opened()
    row("what gc would take", lambda: survey_garbage(store, keep=3), lambda: parsed(made))


def huge(folder: Path) -> None:
    """An artifact of 100 GB, most of it holes: whoever read it would take minutes."""
    store = Store(str(folder / "huge"), folder / "cache", DigestCache(folder / "digests.db"))
    location = "pack/universe-00000000"
    place = folder / "huge" / location
    place.mkdir(parents=True)
    for number in range(HUGE):
        with (place / f"{number}.parquet").open("wb") as stream:
            stream.truncate(HUGE_BYTES)
    time.sleep(0.1)
    files = tuple(File(path=f"{number}.parquet", size=HUGE_BYTES, sha256="0" * 64) for number in range(HUGE))
    made = record("pack", "universe", "0" * 64, location, files, {})
    (place / RECORD).write_bytes(made.sealed())
    print(f"\n{HUGE} files of {HUGE_BYTES / 1e9:g} GB")
    row("verify, untouched", lambda: store.check(made, digests=False), lambda: statted(folder / "huge", [made]))


def throughput(folder: Path) -> None:
    """Digests of files that lie in the disk's cache, against one thread's."""
    (folder / "pieces").mkdir()
    paths = [folder / "pieces" / str(number) for number in range(PIECES)]
    for path in paths:
        path.write_bytes(os.urandom(PIECE_BYTES))
    print(f"\n{PIECES} files of {PIECE_BYTES / 1e6:g} MB, {len(os.sched_getaffinity(0))} cores")
    row("digests, read", lambda: hash_files(paths), lambda: [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    time.sleep(digests.SETTLE_SECONDS + 0.1)
    DigestCache(folder / "digests.db").of(paths)
    memory = DigestCache(folder / "digests.db")
    row("digests, remembered", lambda: memory.of(paths), lambda: [path.stat() for path in paths])


def write_store(root: Path, count: int) -> list[Artifact]:
    """Artifacts with realistic records, each made from the one before it, and a run for every one of a recipe's last stage."""
    store = Store(str(root), root.parent / "cache")
    made: list[Artifact] = []
    for number in range(count):
        stage, label = f"stage{number % STAGES}", f"recipe{number // STAGES % RECIPES}"
        key = hashlib.sha256(str(number).encode()).hexdigest()
        location = store.location_of(stage, label, key)
        folder = root / location
        folder.mkdir(parents=True)
        content = {f"{i}.txt": f"{number} {i}".encode() for i in range(FILES)}
        for name, text in content.items():
            (folder / name).write_bytes(text)
        files = tuple(File(path=name, size=len(text), sha256=hashlib.sha256(text).hexdigest()) for name, text in content.items())
        inputs = {"documents": made[-1].reference()} if number % STAGES else {}
        made.append(record(stage, label, key, location, files, inputs))
        (folder / RECORD).write_bytes(made[-1].sealed())
        if number % STAGES == STAGES - 1:
            Journal(store).write(run(number, label, made[-STAGES:]))
    return made


def record(stage: str, label: str, key: str, location: str, files: tuple[File, ...], inputs: dict[str, InputRecord]) -> Artifact:
    """A record of the size that a real stage writes."""
    return Artifact(
        stage=stage,
        label=label,
        key=key,
        digest=content_digest(files),
        location=location,
        files=files,
        config={f"field{i}": {"value": i, "name": "x" * 20} for i in range(20)},
        ingredients={f"code.data/room{i}/module.py:definition{i}": key[:16] for i in range(80)},
        inputs=inputs,
        metrics={f"metric{i}": i / 7 for i in range(20)},
        cost=Cost(wall_seconds=1.0, cpu_seconds=1.0),
        origin=Origin(created=now(), host="h", device="d", git_commit="0" * 40, git_dirty=False, packages=installed()),
    )


def run(number: int, recipe: str, artifacts: Iterable[Artifact]) -> RunRecord:
    """A finished run that had these artifacts."""
    places = {a.stage: PositionRecord(stage=a.stage, key=a.key, digest=a.digest, location=a.location, action="executed") for a in artifacts}
    hours, minutes, seconds = number // 3600, number // 60 % 60, number % 60
    return RunRecord(
        id=f"20200101T{hours:02}{minutes:02}{seconds:02}-000000",
        recipe=recipe,
        status="finished",
        started=f"2020-01-01T{hours:02}:{minutes:02}:{seconds:02}.000000+00:00",
        host="h",
        pid=1,
        git_commit="",
        git_dirty=False,
        configuration={},
        positions=places,
    )


def statted(root: Path, artifacts: Iterable[Artifact]) -> list[os.stat_result]:
    """One `stat` for each file of some artifacts, their records included."""
    return [os.stat(f"{root}/{a.location}/{name}") for a in artifacts for name in (*(file.path for file in a.files), RECORD)]  # noqa: PTH116


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What something gives, and the seconds it takes."""
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def row(what: str, work: Callable[[], object], limit: Callable[[], object]) -> None:
    """One figure beside its limit."""
    limit()  # the disk's cache is warm for both
    _, took = timed(work)
    least = min(timed(limit)[1] for _ in range(3))
    print(f"  {what:72} {took * 1000:9.2f} ms   limit {least * 1000:9.2f} ms   ratio {took / least:6.2f}", flush=True)


if __name__ == "__main__":
    main()
