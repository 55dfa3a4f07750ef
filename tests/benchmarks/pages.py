"""What folio's page costs in a large home: python -m tests.benchmarks.pages [--artifacts 10000] [--runs 500] [--opens 30] [--folder DIR]

Two homes are made, one of 10 artifacts and a run, one of many; each has a server of its own, and every page is opened in turns in both.
`first`: the first open after a server began, in milliseconds by the clock; `then`: the median of later ones, in milliseconds of the
processor, which other work on the machine changes less; server and client count together. A list shows at most 20 rows, so a page of the
large home has more of them. Of 20 recipes one asks a person. Exit code 1 if a later open takes more than twice as long in the large home.
A plan, a search for words in documents and what was made from an artifact are asked for, not opened, and not measured.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import uvicorn

from data.documents.rows import DOCUMENTS, LEDGER, write_rows
from data.documents.sharding import document_id
from flows.page.app import LIMITS, make_app
from flows.recipe.loading import load
from model.serving.connections import bound, server_config
from tasks.stage.store.artifact import RECORD, Artifact, File
from tasks.stage.store.journal import Journal, PositionRecord, RunRecord
from tasks.stage.store.store import Store
from tests.benchmarks.store import record

MOST = 2.0
SMALL = 10
STAGES = ("ingest", "clean", "dedup", "split", "audit", "tokenizer", "pretrain", "evaluate", "gate", "export",
          "census", "assign", "survey", "overlap", "examples", "sample", "pack", "encode", "tune", "quantize")  # fmt: skip
TEXT = "Call me Ishmael. Some years ago I thought I would sail about a little and see the watery part of the world."
IDENTITY = document_id("books", "moby.txt")


def main() -> None:
    """Make both homes, open each page in turns, print, and fail if a bound is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--artifacts", type=int, default=10_000)
    arguments.add_argument("--runs", type=int, default=500)
    arguments.add_argument("--opens", type=int, default=30)
    arguments.add_argument("--folder", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="folio-pages-", dir=given.folder) as folder:
        small = write_home(Path(folder) / "small", SMALL, 1)
        large = write_home(Path(folder) / "large", given.artifacts, given.runs)
        with served(small) as one, served(large) as other:
            slow = compare(one, other, given.opens, f"{SMALL} artifacts and a run", f"{given.artifacts:,} artifacts and {given.runs} runs")
    sys.exit(f"{', '.join(slow)}: more than {MOST:g} times as long" if slow else 0)


def compare(small: tuple[str, list[str]], large: tuple[str, list[str]], opens: int, few: str, many: str) -> list[str]:
    """Print the time of every page in both homes; return the pages that take too long in the large one."""
    print(f"{'milliseconds':28} {few:>26} {many:>36}  ratio\n{'':28} {'first':>13} {'then':>12} {'first':>23} {'then':>12}")
    slow = []
    with httpx.Client() as client:
        for here, there in zip(small[1], large[1], strict=True):
            pair = f"{small[0]}{here}", f"{large[0]}{there}"
            firsts = [timed(client, address)[0] for address in pair]
            times = [[timed(client, address)[1] for address in pair] for _ in range(opens)]
            then = [statistics.median(one) for one in zip(*times, strict=True)]
            name, ratio = named(here), then[1] / then[0]
            print(f"{name:28} {firsts[0]:13.1f} {then[0]:12.1f} {firsts[1]:23.1f} {then[1]:12.1f}  {ratio:5.2f}", flush=True)
            slow += [name] if ratio > MOST else []
    return slow


def named(address: str) -> str:
    """Return an address with what differs between homes left out."""
    return "/" + "/".join("…" if any(letter.isdigit() for letter in part) else part for part in address.split("/")[1:])


def timed(client: httpx.Client, address: str) -> tuple[float, float]:
    """Return the milliseconds that a page takes to come whole: by the clock, and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    answer = client.get(address, timeout=120)
    assert answer.status_code == 200, (address, answer.text)
    return (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000


@contextmanager
def served(home: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the page of a home in a thread; yield its address and the pages to open."""
    listening = bound("127.0.0.1", 0, None)
    server = uvicorn.Server(server_config(make_app(str(home / "store"), home), LIMITS, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    store = Store(str(home / "store"), home / "cache")
    run, exported = next(Journal(store).newest()).id, store.index.locations("export")[-1]
    pages = ["/", f"/runs/{run}", "/plan", "/corpora", f"/corpora/{run}", f"/corpora/{run}/documents",
             f"/corpora/{run}/documents/{IDENTITY}", "/models", f"/models/{exported.partition('/')[2]}", "/decisions", "/artifacts",
             "/artifacts/export", f"/artifacts/{exported}"]  # fmt: skip
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", pages
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def write_home(home: Path, artifacts: int, runs: int) -> Path:
    """Write a home whose runs each have artifacts of their own, as many stages of one as it takes; return it."""
    store, each = Store(str(home / "store"), home / "cache"), artifacts // runs
    configuration = load("universe").model_dump(mode="json")
    asking = {**configuration, "gates": {**configuration["gates"], "release": {**configuration["gates"]["release"], "approve": True}}}
    content = contents(home)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(runs):
        made: dict[str, Artifact] = {}
        for stage in STAGES[:each]:
            made[stage] = write_artifact(store, stage, f"recipe{number % 20}", f"{stage} {number}", content.get(stage, {}), made)
        started = began + timedelta(minutes=number)
        Journal(store).write(
            RunRecord(
                id=f"{started:%Y%m%dT%H%M%S}-{number:06x}",
                recipe=f"recipe{number % 20}",
                status="finished",
                started=started.isoformat(),
                ended=(started + timedelta(seconds=50)).isoformat(),
                host="h",
                pid=1,
                git_commit="",
                git_dirty=False,
                configuration=configuration if number % 20 else asking,
                positions={("gate.release" if stage == "gate" else stage): position(found) for stage, found in made.items()},
                headline={"evaluate.release.test.bits_per_byte": 1.5, "gate.release.passed": 1.0},
            )
        )
    return home


def position(made: Artifact) -> PositionRecord:
    """What a run had at a position."""
    return PositionRecord(
        stage=made.stage, key=made.key, address=made.address, digest=made.digest, location=made.location, action="executed"
    )


def contents(home: Path) -> dict[str, dict[str, bytes]]:
    """The files of stages whose files the pages open."""
    home.mkdir(parents=True)
    document = {"id": IDENTITY, "title": "Moby", "source": "books", "text": TEXT, "metadata": '{"path": "moby.txt", "format": "txt"}'}
    row = {"id": IDENTITY, "stage": "", "action": "kept", "rule": "", "count": 1, "characters": 0, "net": 0, "detail": ""}
    write_rows(home / "documents.parquet", DOCUMENTS, [document])
    write_rows(home / "ledger.parquet", LEDGER, [row])
    tables = {name: (home / name).read_bytes() for name in ("documents.parquet", "ledger.parquet")}
    verdict = b'{"rows": [{"metric": "m", "value": "1", "bound": "<= 2", "margin": "+1", "verdict": "passed"}], "overruled": ""}'
    funnel = b'{"format": 0}'
    return {"ingest": tables, "clean": tables, "gate": {"verdict.json": verdict}, "audit": {"funnel.json": funnel}}


def write_artifact(store: Store, stage: str, label: str, name: str, content: dict[str, bytes], before: dict[str, Artifact]) -> Artifact:
    """Write an artifact that was made from the one before it."""
    content = content or {f"{number}.txt": f"{name} {number}".encode() for number in range(4)}
    key = hashlib.sha256(name.encode()).hexdigest()
    location = store.location_of(stage, label, key)
    folder = Path(store.root) / location
    folder.mkdir(parents=True)
    for path, text in content.items():
        (folder / path).write_bytes(text)
    files = tuple(File(path=path, size=len(text), sha256=hashlib.sha256(text).hexdigest()) for path, text in content.items())
    inputs = {"documents": list(before.values())[-1].reference()} if before else {}
    made = record(stage, label, key, location, files, inputs).model_copy(update={"metrics": {"passed": 1.0, "loss": 2.5}})
    (folder / RECORD).write_bytes(made.sealed())
    return made


if __name__ == "__main__":
    main()
