"""Stages that work shard by shard: each shard has a key of its own, and only what changed runs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.store.artifact import ShardedArtifact, SlicedArtifact
from tests.tasks.exported import children_of, parent_of
from tests.tasks.toy_bodies import Nothing, Read
from tests.tasks.toys import Toys, Workshop

SOURCE = """
from tasks.stage.stage import stage
from tests.tasks.toy_bodies import executed

def books(config, root, shard, digest_of):
    found = [path for path in sorted((root / config.folder).glob("*.txt")) if len(path.stem) % shard.count == shard.number]
    return {path.name: digest for path, digest in digest_of(found).items()}

@stage(observes=books)
def read(config, work, hall):
    executed(f"read[{work.shard.number}]")
    text = "".join((work.root / config.folder / name).read_text() for name in sorted(work.observed))
    if "bad" in text:
        raise ValueError("a bad book")
    (work.output / "text.txt").write_text(text + (hall / "counts.txt").read_text())
    return {"books": len(work.observed), "threads": 0 * work.resources.cores}

@stage()
def shout(config, work, text):
    executed(f"shout[{work.shard.number}]")
    (work.output / "text.txt").write_text(text.read_text().upper())
    return {"letters": len(text.read_text())}

@stage()
def hall(config, work):
    executed("hall")
    (work.output / "counts.txt").write_text("!")
    return {}

@stage()
def sort(config, work, hall):
    executed(f"sort[{work.shard.number}]")
    for number in range(3):
        (work.output / f"{number}.txt").write_text(f"for {number}, from {work.shard.number} of {work.shard.count}\\n" * (number < 2))
    return {}

@stage()
def take(config, work, slices):
    executed(f"take[{work.shard.number}]")
    (work.output / "text.txt").write_text("".join(path.read_text() for path in slices))
    return {}

@stage()
def deal(config, work):
    executed("deal")
    (work.output / "dealt").mkdir()
    for number in range(3):
        (work.output / "dealt" / f"{number}.txt").write_text(f"card {number}" + "!" * (number > 1))
    return {}

@stage()
def bind(config, work, text):
    executed("bind")
    (work.output / "book.txt").write_text("".join(path.read_text() for path in text))
    return {}
"""


class Library(Workshop):
    """hall -> read x 3 -> shout x 3 -> bind."""

    first = SOURCE
    shards, config = 3, Read()

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, patch)
        (self.root / "books").mkdir()
        for name in ("a", "bb", "ccc", "dddd", "eeeee"):
            (self.root / "books" / f"{name}.txt").write_text(f"{name} ")

    def _compose(self, recipe: Toys) -> None:
        hall = self.stages.hall(Nothing())
        read = self.stages.read.over(self.shards)(self.config, hall=hall)
        loud = self.stages.shout.over(self.shards)(Nothing(), text=read.part("text.txt"))
        self.stages.bind(Nothing(), text=loud.part("text.txt"))


EVERYTHING = {"hall", "read[0]", "read[1]", "read[2]", "shout[0]", "shout[1]", "shout[2]", "bind"}


@pytest.fixture
def library(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> Library:
    return Library(tmp_path, monkeypatch)


def book(library: Library) -> str:
    return (library.folder_of(library.made()["bind"]) / "book.txt").read_text()


def test_every_shard_has_an_artifact_and_a_stage_that_is_not_sharded_reads_them_in_order(library: Library) -> None:
    run = library.run()
    assert set(library.executed) == EVERYTHING == set(run.artifacts)
    assert book(library) == "CCC !A DDDD !BB EEEEE !"
    assert list(run.artifacts["bind"].inputs) == ["text[0]", "text[1]", "text[2]"]
    assert run.artifacts["read[1]"].location.startswith("read/toys-1-")
    library.run()
    assert library.executed == []


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ("edit", {"read[1]", "shout[1]", "bind"}),
        pytest.param("add", {"read[0]", "shout[0]", "bind"}, marks=pytest.mark.slow),
        pytest.param("remove", {"read[2]", "shout[2]", "bind"}, marks=pytest.mark.slow),
        pytest.param("rename", {"read[1]", "read[2]", "shout[1]", "shout[2]", "bind"}, marks=pytest.mark.slow),
        ("same bytes", set[str]()),
        pytest.param("elsewhere", set[str](), marks=pytest.mark.slow),
    ],
)
def test_a_changed_book_runs_its_own_shard_and_the_plan_says_so(library: Library, change: str, runs: set[str]) -> None:
    library.run()
    books = library.root / "books"
    if change == "edit":
        (books / "dddd.txt").write_text("other ")
    elif change == "add":
        (books / "ffffff.txt").write_text("new ")
    elif change == "remove":
        (books / "eeeee.txt").unlink()
    elif change == "rename":
        (books / "dddd.txt").rename(books / "ddddd.txt")
    elif change == "same bytes":
        (books / "a.txt").write_text("a ")
    else:
        books.rename(library.root / "shelf")
        library.config = Read(folder="shelf")
    assert set(library.executed) == EVERYTHING
    planned = {decision.position: decision for decision in library.plan()}
    assert {position for position, decision in planned.items() if decision.action == "reuse"} == EVERYTHING - runs
    library.run()
    assert set(library.executed) == runs
    if change == "edit":
        assert planned["read[1]"].causes == ("file dddd.txt changed",)
        assert planned["shout[1]"].causes == ("waits on read[1]",)


def test_shards_that_run_side_by_side_share_threads_and_memory(library: Library) -> None:
    library.patch.setattr("os.sched_getaffinity", lambda pid: set(range(4)))
    library.edit('"threads": 0 *', '"threads": 1 *')
    run = library.run()
    assert {run.artifacts[f"read[{n}]"].metrics["threads"] for n in range(3)} == {1.0}
    (library.root / "books" / "a.txt").write_text("changed ")
    assert library.run().artifacts["read[1]"].metrics["threads"] == 4.0
    shared = run.resources.shared(3)
    assert (shared.threads, shared.memory) == (1, "1.333GB")


def test_a_failing_shard_stops_the_run_and_the_shards_that_were_at_work_are_kept(library: Library) -> None:
    (library.root / "books" / "a.txt").write_text("bad")
    with pytest.raises(ValueError, match="a bad book"):
        library.run()
    kept = {f"read[{number}]" for number in range(3) if list((Path(library.store) / "read").glob(f"toys-{number}-*"))}
    assert "read[0]" in kept
    assert "read[1]" not in kept
    (library.root / "books" / "a.txt").write_text("good ")
    library.executed  # noqa: B018
    library.run()
    assert set(library.executed) == EVERYTHING - {"hall"} - kept


def test_another_number_of_shards_than_the_inputs_come_in_is_refused(library: Library) -> None:
    made: list[Any] = []

    def compose(recipe: Toys) -> None:
        made.append(library.stages.read.over(3)(Read(), hall=library.stages.hall(Nothing())))
        library.stages.shout.over(2)(Nothing(), text=made[0].part("text.txt"))

    library.patch.setattr(library, "_compose", compose)
    with pytest.raises(ValueError, match="shout: text comes in 3 shards, the stage works over 2"):
        library.run()
    assert isinstance(made[0], ShardedArtifact)


def test_a_damaged_shard_alone_is_made_again(library: Library) -> None:
    run = library.run()
    library.executed  # noqa: B018
    shutil.rmtree(library.folder_of(run.artifacts["read[1]"]))
    planned = {decision.position: decision for decision in library.plan()}
    assert planned["read[1]"].causes == (f"its artifact {run.artifacts['read[1]'].location} is gone",)
    library.run()
    assert library.executed == ["read[1]"]


def test_a_sharded_stage_is_one_run_in_mlflow_with_the_sums_of_its_shards(library: Library, database: str) -> None:
    library.tracking = database
    library.run()
    (library.root / "books" / "a.txt").write_text("other ")
    run = library.run()
    shown = children_of(database, run)
    assert set(shown) == {"hall (reused)", "read", "shout", "bind"}
    assert shown["read"].data.tags["folio.shards"] == "1 executed, 2 reused"
    assert shown["read"].data.metrics["books"] == 5.0
    assert parent_of(database, run).data.metrics["read.books"] == 5.0


def test_reused_shards_are_told_in_one_line(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    library.run()
    with caplog.at_level(logging.INFO, logger="folio"):
        library.run()
    assert "read: reused 3 of 3 shards" in caplog.messages


def _sliced(library: Library) -> None:
    def compose(recipe: Toys) -> None:
        made = library.stages.sort.over(5, (1, 3))(Nothing(), hall=library.stages.hall(Nothing()))
        library.stages.take.over(3)(Nothing(), slices=SlicedArtifact(made=made, name="{}.txt"))

    library.patch.setattr(library, "_compose", compose)


def test_a_shard_is_given_its_slice_of_every_shard_that_was_made(library: Library) -> None:
    _sliced(library)
    planned = {decision.position: decision.causes for decision in library.plan()}
    assert planned["take[0]"][-1] == "waits on sort[1], sort[3]"
    run = library.run()
    assert set(run.artifacts) == {"hall", "sort[1]", "sort[3]", "take[0]", "take[1]", "take[2]"}
    texts = [(library.folder_of(run.artifacts[f"take[{number}]"]) / "text.txt").read_text() for number in range(3)]
    assert texts == [*(f"for {number}, from 1 of 5\nfor {number}, from 3 of 5\n" for number in range(2)), ""]


def test_a_shard_runs_again_when_its_own_slice_changed_and_no_other_does(library: Library) -> None:
    _sliced(library)
    library.run()
    library.edit("(number < 2)", "(number < 3)")
    library.executed  # noqa: B018
    library.run()
    assert set(library.executed) == {"sort[1]", "sort[3]", "take[2]"}


def _dealt(library: Library, count: int = 3) -> None:
    def compose(recipe: Toys) -> None:
        dealt = ShardedArtifact.of(library.stages.deal(Nothing()), "dealt/{}.txt", count)
        library.stages.shout.over(3)(Nothing(), text=dealt)

    library.patch.setattr(library, "_compose", compose)


def test_the_parts_of_one_artifact_go_to_a_shard_each_and_a_part_that_is_unchanged_reruns_nothing(library: Library) -> None:
    _dealt(library)
    assert {decision.position: decision.action for decision in library.plan()} == {
        "deal": "run",
        **{f"shout[{n}]": "run" for n in range(3)},
    }
    run = library.run()
    texts = [(library.folder_of(run.artifacts[f"shout[{number}]"]) / "text.txt").read_text() for number in range(3)]
    assert texts == ["CARD 0", "CARD 1", "CARD 2!"]
    library.edit("(number > 1)", "(number > 0)")
    library.executed  # noqa: B018
    library.run()
    assert set(library.executed) == {"deal", "shout[1]"}


def test_fewer_parts_than_shards_are_refused_by_name(library: Library) -> None:
    _dealt(library, count=2)
    with pytest.raises(ValueError, match=r"shout: text comes in 2 shards, the stage works over 3"):
        library.plan()
