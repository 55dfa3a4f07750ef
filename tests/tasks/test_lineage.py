"""What made what, read from a store alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.artifact import Artifact
from tasks.stage.cost import total_cost
from tasks.stage.lineage import Graph, tree
from tasks.stage.store import Store
from tests.tasks.records import committed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def family(store: Store) -> dict[str, Artifact]:
    """books -> clean -> {words, pairs} -> model, and a model of other books."""
    books = committed(store, {"books.txt": b"books"}, stage="ingest", run_id="run-of-ingest")
    clean = committed(store, {"clean.txt": b"clean"}, stage="clean", inputs={"documents": books.reference()})
    words = committed(store, {"words.txt": b"words"}, stage="words", inputs={"documents": clean.reference()})
    pairs = committed(store, {"pairs.txt": b"pairs"}, stage="pairs", inputs={"documents": clean.part("clean.txt").reference()})
    model = committed(store, {"model.bin": b"model"}, stage="train", inputs={"words": words.reference(), "pairs": pairs.reference()})
    other = committed(store, {"other.txt": b"other"}, stage="ingest", name="other")
    return {"books": books, "clean": clean, "words": words, "pairs": pairs, "model": model, "other": other}


def test_ancestors_are_all_that_a_thing_was_made_from_each_once(store: Store, family: dict[str, Artifact]) -> None:
    found = Graph.of(store).ancestors(family["model"])
    assert found[0] == family["model"]
    assert sorted(a.stage for a in found) == ["clean", "ingest", "pairs", "train", "words"]
    assert total_cost(found).wall_seconds == 5.0
    assert total_cost(found).cpu_seconds == 10.0


def test_descendants_are_all_that_was_made_from_a_thing_in_order_of_creation(store: Store, family: dict[str, Artifact]) -> None:
    assert [a.stage for a in Graph.of(store).descendants(family["clean"])] == ["clean", "words", "pairs", "train"]
    assert Graph.of(store).descendants(family["other"]) == [family["other"]]


def test_descendants_of_something_made_again_later_are_still_found(store: Store, family: dict[str, Artifact]) -> None:
    again = committed(store, {"clean.txt": b"clean"}, stage="clean", inputs={"documents": family["books"].reference()})
    assert again.key == family["clean"].key
    assert {a.stage for a in Graph.of(store).descendants(family["books"])} == {"ingest", "clean", "words", "pairs", "train"}


def test_a_tree_shows_each_artifact_once_and_refers_to_it_afterwards(store: Store, family: dict[str, Artifact]) -> None:
    def line(name: str) -> str:
        return f"{family[name].location}  digest {family[name].digest[:8]}"

    assert tree(Graph.of(store), family["model"]) == [
        line("model"),
        f"  words: {line('words')}",
        f"    documents: {line('clean')}",
        f"      documents: {line('books')}",
        f"  pairs: {line('pairs')}",
        f"    documents: {line('clean')}  (above)",
    ]


def test_a_tree_of_many_diamonds_has_a_line_an_input_not_one_a_path(store: Store) -> None:
    last = committed(store, {"x": b"0"}, name="0")
    for i in range(1, 25):
        last = committed(store, {"x": b"%d" % i}, name=str(i), inputs={"left": last.reference(), "right": last.reference()})
    assert len(tree(Graph.of(store), last)) == 49


def test_an_input_whose_record_is_gone_is_shown_as_gone(store: Store, family: dict[str, Artifact]) -> None:
    (Path(store.root) / family["books"].location / "artifact.json").unlink()
    assert f"      documents: {family['books'].location} (its record is gone)" in tree(Graph.of(store), family["model"])


def test_a_thing_is_found_by_every_name_it_has(
    store: Store, family: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, books, clean = Graph.of(store), family["books"], family["clean"]
    copied = tmp_path / "copy of a book"
    copied.write_bytes(b"books")
    folder = Path(store.root) / clean.location
    for name in (books.location, books.key, books.key[:8], books.digest[:12], "run-of-ingest", str(copied)):
        assert graph.find(name) == books
    assert graph.find(str(folder)) == graph.find(str(folder / "clean.txt")) == clean
    monkeypatch.chdir(store.root)
    assert graph.find(f"{clean.location}/clean.txt") == clean


def test_a_file_in_the_store_means_the_artifact_it_lies_in_though_others_hold_the_same_bytes(store: Store) -> None:
    first = committed(store, {"tokenizer.json": b"same"}, stage="tokenizer")
    committed(store, {"tokenizer.json": b"same"}, stage="export")
    assert Graph.of(store).find(f"{store.root}/{first.location}/tokenizer.json") == first


@pytest.mark.parametrize("name", ["", "clean", "0000000", "no/such-artifact", "/no/such/file"])
def test_what_is_not_in_the_store_is_named_with_what_could_be_given(store: Store, family: dict[str, Artifact], name: str) -> None:
    with pytest.raises(LookupError, match=f"Nothing in the store is called '{name}': give a location such as"):
        Graph.of(store).find(name)
