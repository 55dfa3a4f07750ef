"""The provenance graph and its trees, read from a store alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.lineage.graph import ProvenanceGraph
from tasks.lineage.tree import render_tree
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tasks.stage.tracking.cost import total_cost
from tests.tasks.lineage.sharded_store import commit_sharded_corpus
from tests.tasks.records import accepted, committed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def family(store: Store) -> dict[str, Artifact]:
    """books -> clean -> {words, pairs} -> model, and other books."""
    books = committed(store, {"books.txt": b"books"}, stage="ingest", run_id="run-of-ingest")
    clean = committed(store, {"clean.txt": b"clean"}, stage="clean", inputs={"documents": books.reference()})
    words = committed(store, {"words.txt": b"words"}, stage="words", inputs={"documents": clean.reference()})
    pairs = committed(store, {"pairs.txt": b"pairs"}, stage="pairs", inputs={"documents": clean.part("clean.txt").reference()})
    model = committed(store, {"model.bin": b"model"}, stage="train", inputs={"words": words.reference(), "pairs": pairs.reference()})
    other = committed(store, {"other.txt": b"other"}, stage="ingest", name="other")
    return {"books": books, "clean": clean, "words": words, "pairs": pairs, "model": model, "other": other}


def test_ancestors_are_everything_an_artifact_was_made_from_each_once(store: Store, family: dict[str, Artifact]) -> None:
    found = ProvenanceGraph.load(store).ancestors(family["model"])
    assert found[0] == family["model"]
    assert sorted(a.stage for a in found) == ["clean", "ingest", "pairs", "train", "words"]
    assert total_cost(found).wall_seconds == 5.0
    assert total_cost(found).cpu_seconds == 10.0


def test_descendants_are_everything_made_from_an_artifact_in_order_of_creation(store: Store, family: dict[str, Artifact]) -> None:
    assert [a.stage for a in ProvenanceGraph.load(store).descendants(family["clean"])] == ["clean", "words", "pairs", "train"]
    assert ProvenanceGraph.load(store).descendants(family["other"]) == [family["other"]]


def test_descendants_of_something_made_again_later_are_still_found(store: Store, family: dict[str, Artifact]) -> None:
    again = committed(store, {"clean.txt": b"clean"}, stage="clean", inputs={"documents": family["books"].reference()})
    assert again.key == family["clean"].key
    assert {a.stage for a in ProvenanceGraph.load(store).descendants(family["books"])} == {"ingest", "clean", "words", "pairs", "train"}


def test_a_tree_shows_each_artifact_once_and_refers_to_it_afterwards(store: Store, family: dict[str, Artifact]) -> None:
    def line(name: str) -> str:
        return f"{family[name].location}  digest {family[name].digest[:8]}"

    assert render_tree(ProvenanceGraph.load(store), [family["model"]]) == [
        line("model"),
        f"  words: {line('words')}",
        f"    documents: {line('clean')}",
        f"      documents: {line('books')}",
        f"  pairs: {line('pairs')}",
        f"    documents: {line('clean')}  (above)",
    ]


def test_a_tree_of_many_diamonds_has_one_line_per_input_not_per_path(store: Store) -> None:
    last = committed(store, {"x": b"0"}, name="0")
    for i in range(1, 25):
        last = committed(store, {"x": b"%d" % i}, name=str(i), inputs={"left": last.reference(), "right": last.reference()})
    assert len(render_tree(ProvenanceGraph.load(store), [last])) == 49


def test_an_input_whose_record_is_gone_is_shown_as_gone(store: Store, family: dict[str, Artifact]) -> None:
    (Path(store.root) / family["books"].location / "artifact.json").unlink()
    assert f"      documents: {family['books'].location} (its record is gone)" in render_tree(
        ProvenanceGraph.load(store), [family["model"]]
    )


def test_a_forward_tree_shows_what_used_each_artifact_and_as_which_input(store: Store, family: dict[str, Artifact]) -> None:
    def line(name: str) -> str:
        return f"{family[name].location}  digest {family[name].digest[:8]}"

    assert render_tree(ProvenanceGraph.load(store), [family["clean"]], forward=True) == [
        line("clean"),
        f"  as documents: {line('words')}",
        f"    as words: {line('model')}",
        f"  as documents: {line('pairs')}",
        f"    as pairs: {line('model')}  (above)",
    ]


def test_the_shards_of_a_stage_share_a_line_unless_unfolded(store: Store) -> None:
    made = commit_sharded_corpus(store)
    graph = ProvenanceGraph.load(store)
    folded = render_tree(graph, [made["train"]])
    assert folded[2:] == ["    documents: clean x 3  toys", "      documents: ingest x 3  toys"]
    whole = render_tree(graph, [made["train"]], unfold=True)
    assert len(whole) == 2 + 2 * 3
    assert [line.split(":")[0].strip() for line in whole[2::2]] == ["documents[0]", "documents[1]", "documents[2]"]
    forward = render_tree(graph, [made[f"ingest[{n}]"] for n in range(3)], forward=True)
    assert [line.split("  digest")[0].strip() for line in forward] == [
        "ingest x 3  toys",
        "as documents: clean x 3  toys",
        f"as documents: {made['dedup'].location}",
        f"as words: {made['train'].location}",
    ]


def test_a_line_of_shards_counts_missing_records(store: Store) -> None:
    made = commit_sharded_corpus(store)
    (Path(store.root) / made["clean[1]"].location / "artifact.json").unlink()
    assert render_tree(ProvenanceGraph.load(store), [made["train"]])[2:] == [
        "    documents: clean x 3  toys  (1 of their records are gone)",
        "      documents: ingest x 2  toys",
    ]


def test_a_second_version_of_a_shard_has_a_line_of_its_own(store: Store) -> None:
    made = commit_sharded_corpus(store)
    part = {"documents": made["ingest[1]"].part("books").reference()}
    described = {"label": "toys-1", "name": "again", "ingredients": {"shard": "1 of 3"}}
    again = committed(store, {"text": b"other"}, stage="clean", inputs=part, **described)
    lines = render_tree(ProvenanceGraph.load(store), [made["ingest[1]"]], forward=True)
    assert f"  as documents: {again.location}  digest {again.digest[:8]}" in lines
    assert f"  as documents: {made['clean[1]'].location}  digest {made['clean[1]'].digest[:8]}" in lines


def test_an_artifact_accepted_for_another_key_is_marked_with_the_reason(store: Store, family: dict[str, Artifact]) -> None:
    accepted(store, family["clean"], "1a2b3c4d" + "0" * 56, "a comment became code")
    lines = render_tree(ProvenanceGraph.load(store), [family["words"]])
    assert lines[1].endswith("  (accepted for key 1a2b3c4d: a comment became code)")


def test_a_location_without_key_means_the_newest_and_of_a_sharded_stage_every_shard(store: Store) -> None:
    old = commit_sharded_corpus(store)
    new = commit_sharded_corpus(store, version="2")
    graph = ProvenanceGraph.load(store)
    assert graph.find("train/toys") == (new["train"],)
    assert graph.find("clean/toys") == tuple(new[f"clean[{n}]"] for n in range(3))
    assert graph.find("clean/toys-1") == (new["clean[1]"],)
    assert graph.find(old["clean[1]"].location) == (old["clean[1]"],)


def test_an_artifact_is_named_by_location_key_digest_run_or_the_beginning_of_its_digits(store: Store, family: dict[str, Artifact]) -> None:
    graph, books = ProvenanceGraph.load(store), family["books"]
    for name in (books.location, books.key, books.key[:8], books.digest[:12], "run-of-ingest"):
        assert graph.find(name) == (books,)
    for name in ("", "clean", "0000000", "no/such-artifact", "/no/such/file"):
        assert graph.find(name) == ()
