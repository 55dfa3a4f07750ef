"""What tracing costs a whole run: `python -m tests.benchmarks.traced_run [RECIPE] [ROUNDS]`.

The recipe runs from an empty home, in turns on this source and on a copy of it whose stages record nothing. Both execute every stage in a
fresh process. Prints the medians of wall and processor time of all processes, and what recording adds to each.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.launching import ROOT

ROOMS = ("flows", "tasks", "model", "data")
BODIES = Path("tasks") / "stage" / "execution" / "bodies"
UNRECORDED = (
    (BODIES / "fork_server.py", 'tools.recorder.install(Path(request["marks"]), Path(request["snapshot"]))', "pass"),
    (BODIES / "run_body.py", "Marks.read(call.marks)", "Marks(version=4)"),
)
LIMIT = 0.02


def unrecorded_copy(folder: Path) -> Path:
    """Return a copy of the source whose stages record nothing. Raises ValueError if the code that records is not where it was."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for relative, recorded, instead in UNRECORDED:
        text = (folder / relative).read_text(encoding="utf-8")
        if text.count(recorded) != 1:
            raise ValueError(f"{relative} holds {recorded!r} {text.count(recorded)} times, not once; edit UNRECORDED")
        (folder / relative).write_text(text.replace(recorded, instead), encoding="utf-8")
    return folder


def run(source: Path, home: Path, recipe: str) -> tuple[float, float]:
    """Return the wall and processor seconds of a run in an empty home. Raises CalledProcessError if it fails."""
    environment = {**os.environ, "FOLIO_HOME": str(home), "PYTHONPATH": str(source)}
    command = [sys.executable, "-m", "flows.cli.app"]
    subprocess.run([*command, "up"], env=environment, cwd=source, check=True, capture_output=True)
    try:
        began, before = time.perf_counter(), os.times()
        subprocess.run([*command, "run", recipe], env=environment, cwd=source, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, os.times()
    finally:
        subprocess.run([*command, "down"], env=environment, cwd=source, check=True, capture_output=True)
        shutil.rmtree(home)
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main(recipe: str = "universe", rounds: str = "3") -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        sources = {"recorded": ROOT, "unrecorded": unrecorded_copy(Path(place) / "source")}
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
        for number in range(int(rounds)):
            for name, source in sources.items():
                found = run(source, Path(place) / f"{name}-{number}", recipe)
                measured[name].append(found)
                print(f"{recipe}, {name}: {found[0]:.1f} s of wall time, {found[1]:.1f} s of processor time", flush=True)
        for kind, index in (("wall time", 0), ("processor time", 1)):
            recorded, unrecorded = (statistics.median(values[index] for values in measured[name]) for name in sources)
            print(f"{kind}: recorded / unrecorded = {recorded / unrecorded:.3f}, limit {1 + LIMIT:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
