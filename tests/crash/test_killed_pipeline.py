"""kill -9 of the whole pipeline while it pretrains: the same command goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.readme import ROOT, own_servers, shell

STEPS = 600
RUN = f"folio run four_books --set pretrain.steps={STEPS} --set resources.training.checkpoint_every_steps=20"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A new home with servers of its own."""
    with own_servers(tmp_path / "servers") as environment:
        yield environment


def pretrained(home: Path) -> Path:
    (folder,) = (home / "store" / "pretrain").glob("four_books-*")
    return folder


def mentioning(text: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if any(text in word for word in p.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_pipeline_killed_during_pretraining_ends_with_the_same_bytes(environment: dict[str, str], tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("undisturbed", "killed")}
    shell("folio up", environment)
    # One Prefect server for both; each has a store and a database of its own.
    prefect = str(Path(environment["FOLIO_HOME"]) / "prefect")
    settings = {name: {**environment, "FOLIO_HOME": str(home), "PREFECT_HOME": prefect} for name, home in homes.items()}
    shell(RUN, settings["undisturbed"])
    process = subprocess.Popen(RUN.split(), env=settings["killed"], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (found := list((homes["killed"] / "store" / ".staging").glob("pretrain-*/*/resume/latest.json"))):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, 9)
    process.wait()
    step = json.loads(found[0].read_text())["step"]
    assert 0 < step < STEPS
    gone = time.monotonic() + 30
    while mentioning(str(homes["killed"] / "store")):
        assert time.monotonic() < gone, "a worker outlived the pipeline"
        time.sleep(0.1)
    assert "continuing from the checkpoint" in shell(RUN, settings["killed"])
    for name in ("model.safetensors", "history.jsonl"):
        assert (pretrained(homes["killed"]) / name).read_bytes() == (pretrained(homes["undisturbed"]) / name).read_bytes(), name
