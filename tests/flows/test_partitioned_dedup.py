"""Deduplication by partition, run for real: its artifact is one task's, and so everything after it is reused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from flows.recipe.schema import Recipe
from tasks.lineage.corpus_run import find_document
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.takedown import plan_takedown
from tasks.stage.stage import STAGES
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.store import Store
from tasks.training.config import PipelineResources
from tests.flows.repeated_books import SHARDS, shelf
from tests.flows.test_corpus import make, planned
from tests.tasks.lineage.brute_force import files_with

ROOT = Path(__file__).resolve().parents[2]
BEFORE = {f"{stage}[{number}]" for stage in ("ingest", "clean") for number in range(SHARDS)} | {"census"}
AFTER = {f"{stage}[{number}]" for stage in ("split", "survey", "overlap") for number in range(SHARDS)}
AFTER |= {"assign", "audit", "gate.corpus", "examples"}


class Made(NamedTuple):
    """A corpus made in one task and then in two partitions, in one store."""

    recipe: Recipe
    whole: dict[str, Artifact]
    parts: dict[str, Artifact]


@pytest.fixture(scope="module")
def made(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The corpus."""
    folder = tmp_path_factory.mktemp("partitioned")
    whole = make(shelf(folder / "books", folder / "store"))
    recipe = shelf(folder / "books", folder / "store", "dedup.partitions=2")
    return Made(recipe, whole, make(recipe))


def addresses(artifacts: dict[str, Artifact], positions: set[str]) -> dict[str, str]:
    """Return where the artifacts of positions lie."""
    return {position: artifacts[position].address for position in positions}


@pytest.mark.slow
def test_partitions_make_the_artifact_of_one_task_and_all_after_it_is_reused(made: Made) -> None:
    whole, parts = made.whole, made.parts
    for rule in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed", "lines_removed", "substrings_removed"):
        assert whole["dedup"].metrics[rule], rule
    assert (parts["dedup"].digest, parts["dedup"].metrics) == (whole["dedup"].digest, whole["dedup"].metrics)
    assert addresses(parts, AFTER | BEFORE) == addresses(whole, AFTER | BEFORE)
    assert {decision.action for decision in planned(made.recipe).values()} == {"reuse"}


@pytest.mark.slow
def test_another_number_of_partitions_plans_their_stages_again_and_none_before_them(made: Made) -> None:
    plan = planned(shelf(Path(made.recipe.root), Path(made.recipe.store), "dedup.partitions=3"))
    assert {position for position, decision in plan.items() if decision.action == "reuse"} >= BEFORE
    assert {plan[f"sketch[{number}]"].action for number in range(SHARDS)} == {"run"} and plan["dedup"].action == "wait"


def test_a_plan_names_the_task_of_every_shard_and_partition(prefect: None, tmp_path: Path) -> None:
    plan = planned(shelf(tmp_path / "books", tmp_path / "store", "dedup.partitions=2"))
    by_shard, by_partition = ("sketch", "members", "cut.line", "cut_passages", "account"), ("similar", "choose", "repeats.substring")
    expected = {
        f"{stage}[{number}]" for stages, count in ((by_shard, SHARDS), (by_partition, 2)) for stage in stages for number in range(count)
    }
    assert expected | {"components", "dedup"} <= set(plan)
    assert "similar[2]" not in plan and {plan[position].action for position in expected} == {"run"}
    assert not expected & set(planned(shelf(tmp_path / "books", tmp_path / "store")))


LEFT = {
    "page.txt": {("sketch", "edited.parquet"), ("sketch", "removed/page.parquet"), ("account", "removed/page.parquet")},
    "04.txt": {("cut", "edited.parquet"), ("account", "documents.parquet"), ("dedup", "documents")},
    "05.txt": {("cut", "edited.parquet"), ("cut_passages", "edited.parquet"), ("cut_passages", "removed/substring.parquet")},
    "copy1.txt": {("account", "removed/exact_document.parquet"), ("dedup", "removed/exact_document.parquet")},
}
"""A book, and where steps leave its text."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_a_takedown_finds_a_books_text_wherever_a_step_left_it(made: Made, name: str, tmp_path: Path) -> None:
    store = Store(made.recipe.store, tmp_path)
    snapshot = StoreSnapshot.load(store, STAGES)
    known = find_document(snapshot, f"books/{name}")
    assert known
    contains = plan_takedown(snapshot, *known).contains
    held = {(holding.artifact.stage, re.sub(r"/\d+.parquet", "", part)) for holding in contains for part in holding.parts}
    assert LEFT[name] <= held
    own = (Path(made.recipe.root) / name).read_text().split("\n\n")[0]
    folders = [store.local(artifact) for position, artifact in made.parts.items() if position not in made.whole]
    found = files_with([part for part in own.split(".") if len(part.split()) > 5], folders)
    named = {store.local(holding.artifact) / part for holding in contains for part in holding.parts}
    # The words of copy1 are also those of 01, which stays in other files.
    assert found and (name.startswith("copy") or found <= named)


@pytest.mark.slow
def test_another_number_of_partitions_reruns_their_stages_and_reuses_all_after_them(made: Made) -> None:
    again = make(shelf(Path(made.recipe.root), Path(made.recipe.store), "dedup.partitions=3"))
    assert again["dedup"].digest == made.parts["dedup"].digest
    assert addresses(again, AFTER | BEFORE) == addresses(made.parts, AFTER | BEFORE)


@pytest.mark.slow
def test_a_killed_run_goes_on_at_the_partition_where_it_was(made: Made, tmp_path: Path) -> None:
    store, folder = tmp_path / "store", Path(made.recipe.root)
    command = [sys.executable, "-m", "tests.flows.repeated_books", str(folder), str(store), "dedup.partitions=2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 900
    while not list(store.glob("choose/*/artifact.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    recipe = made.recipe.model_copy(update={"store": str(store)})
    plan = planned(recipe)
    done = {position for position, decision in plan.items() if decision.action == "reuse"}
    assert {"sketch[0]", "similar[1]", "components", "members[2]"} <= done
    assert any(without_shard(position) == "choose" for position in done) and "dedup" not in done
    kept = {position: made.parts[position].address for position in done}
    again = make(recipe)
    assert addresses(again, done) == kept and again["dedup"].digest == made.parts["dedup"].digest


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_workers_of_a_cluster_make_the_partitions_of_threads(made: Made, runner: Literal["dask", "ray"], tmp_path: Path) -> None:
    spread = made.recipe.model_copy(update={"resources": PipelineResources(runner=runner, threads=2), "store": str(tmp_path / "store")})
    again = make(spread)
    assert {position: artifact.digest for position, artifact in again.items()} == {
        position: artifact.digest for position, artifact in made.parts.items()
    }
