"""What tracing costs: marks times the cost of a mark, and the wall time of a stage's body recorded and not, in turns.

    python -m tests.benchmarks.tracing [ROUNDS]

A program of many small calls is the worst case there is; a program that computes is what stages are like.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import trace_of

CALLS = 2_000_000
CALLING = f"""
def step(x):
    return x + 1
def work():
    import time
    began, x = time.process_time(), 0
    for _ in range({CALLS}):
        x = step(x)
    return time.process_time() - began
"""
COMPUTING = """
import numpy
def square(x):
    return x @ x
def work():
    import time
    began, x = time.process_time(), numpy.eye(400)
    for _ in range(100):
        x = square(x)
    return time.process_time() - began
"""
STARTING = """
def work():
    return 0.0
"""
ZYGOTE = Path(__file__).parents[1] / "identity" / "traces" / "zygote.py"


def measure(text: str, rounds: int, folder: Path) -> tuple[float, float, float, float]:
    """The median CPU seconds of `work` plainly and recorded, and the wall seconds of the whole process plainly and recorded."""
    root = folder / "site"
    (root / "data").mkdir(parents=True)
    (root / "data" / "__init__.py").write_text("")
    (root / "data" / "near.py").write_text(text)
    manifest = str(Source.snapshot(root, folder / "source").manifest)
    jobs: list[dict[str, Any]] = []
    for number in range(rounds):
        plain = {"root": str(root), "scratch": str(folder)}
        jobs += [plain, plain | {"marks": str(folder / f"marks-{number}"), "snapshot": manifest}]
    inner: list[list[float]] = [[], []]
    outer: list[list[float]] = [[], []]
    # One job at a time, so that none waits for another.
    for number, job in enumerate(jobs):
        (folder / "jobs.json").write_text(json.dumps([job]))
        began = time.perf_counter()
        subprocess.run([sys.executable, ZYGOTE, folder / "jobs.json", folder / "told.json"], check=True, env=os.environ)
        outer[number % 2].append(time.perf_counter() - began)
        inner[number % 2].append(float(json.loads((folder / "told.json").read_text())[0]))
    marks = Marks.read(folder / "marks-0")
    trace_of(marks, Source.of(root))
    plain_inner, recorded_inner, plain_outer, recorded_outer = (statistics.median(values) for values in (*inner, *outer))
    return plain_inner, recorded_inner, plain_outer, recorded_outer


def main() -> None:
    """Print the cost of a mark, of a body that computes, and of a process."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, text in (("calls", CALLING), ("computing", COMPUTING), ("nothing", STARTING)):
        with tempfile.TemporaryDirectory() as place:
            plain, recorded, plain_process, recorded_process = measure(text, rounds, Path(place))
        print(f"{name:10} body {plain:.3f} s, recorded {recorded:.3f} s; process {plain_process:.2f} s, recorded {recorded_process:.2f} s")
        if name == "calls":
            print(f"{name:10} a mark costs {(recorded - plain) / CALLS * 1e9:.0f} ns ({CALLS:,} marks)")


if __name__ == "__main__":
    main()
