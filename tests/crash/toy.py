"""The toy pipeline in a process of its own: `python -m tests.crash.toy FOLDER STORE DATABASE WHAT [LOG [TOGETHER]]`.

WHAT: `sleep`: `learn` works until it is ended; `compute`: `learn` is deep in a library, where Python handles no signal; `plain`: the
pipeline as it is; a number: as many rounds, each of other words, in step with others that share FOLDER's parent. LOG: a file for a line of
each body that was executed. TOGETHER: how many processes are in step; two by default.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.cli.signals import stoppable
from tasks.stage.system.progress import show_on_terminal
from tests.tasks import toys
from tests.tasks.toy_bodies import Collect

SLEEP = 'executed("learn"); print("learning", flush=True); time.sleep(600)'
COMPUTE = 'executed("learn"); print("learning", flush=True); __import__("hashlib").pbkdf2_hmac("sha256", b"a", b"b", (1 << 31) - 1)'


def main(folder: Path, store: str, database: str, what: str, log: str = "", together: str = "2") -> None:
    """Run the pipeline."""
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        workshop = toys.Workshop(folder, patch)
        workshop.store, workshop.tracking, workshop.home = store, database, Path(store).parent / "home"
        if not what.isdigit():
            workshop.edit('executed("learn")', {"sleep": SLEEP, "compute": COMPUTE}.get(what, 'executed("learn")'))
            with stoppable(last=True):
                print("ready", flush=True)
                workshop.run()
            return
        for number in range(int(what)):
            _meet(folder.parent / f"round-{number}", int(together))
            run = workshop.run(toys.Toys(collect=Collect(words=f"the cat {number}")))
            if log:
                with Path(log).open("a") as stream:
                    stream.writelines(f"{stage} {number}\n" for stage in workshop.executed)
            print(*(f"{place}={artifact.digest}" for place, artifact in sorted(run.artifacts.items())), flush=True)


def _meet(place: Path, count: int) -> None:
    """Wait until as many processes have come to the same place."""
    with place.open("a") as stream:
        stream.write(".")
    while place.stat().st_size < count:
        time.sleep(0.001)


if __name__ == "__main__":
    show_on_terminal()
    main(Path(sys.argv[1]), *sys.argv[2:])
