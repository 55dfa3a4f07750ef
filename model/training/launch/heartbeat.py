"""Signs of life: each worker touches a file of its own every second, so that of workers that wait for each other the dead one is known.

Cost: a thread, and one change of a file's time a second. A worker whose main thread alone hangs still gives signs.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread

EVERY_SECONDS = 1.0
SILENT_SECONDS = 5.0


def beat(directory: Path, rank: int) -> None:
    """Give signs of life from now on, until the process ends."""
    path = directory / f"worker-{rank}.alive"

    def on() -> None:
        while directory.exists():
            path.touch()
            time.sleep(EVERY_SECONDS)

    Thread(target=on, name="heartbeat", daemon=True).start()


def silent(directory: Path) -> dict[int, float]:
    """Workers that gave no sign for `SILENT_SECONDS`, and for how long, seconds; none that never gave one."""
    now = time.time()
    ages = {int(path.stem.removeprefix("worker-")): now - path.stat().st_mtime for path in directory.glob("worker-*.alive")}
    return {rank: age for rank, age in sorted(ages.items()) if age > SILENT_SECONDS}
