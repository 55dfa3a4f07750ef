"""Deduplication by partition, run for real: its artifact is one task's, and so everything after it is reused."""

from __future__ import annotations

from pathlib import Path

from flows.recipe.initialize import write_recipe
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tests.data.dedup.books import edited, prose
from tests.flows.test_corpus import make

SHARDS = 3
RULES = ("dedup.keep=[known_words, longest]", "dedup.line.enabled=true", "dedup.substring={enabled: true, min_words: 30}")
AFTER = ("split", "audit", "gate.corpus", "examples")


def shelf(folder: Path, store: Path, *changes: str) -> Recipe:
    """A recipe for two dozen books that repeat each other in every way."""
    if not folder.exists():
        folder.mkdir(parents=True)
        line, paragraph, passage = "All rights reserved by the printers of this book.", prose(900, 1, 9), " ".join(prose(901, 1, 8).split())
        for number in range(24):
            shared = [paragraph] if number % 4 == 0 else [f"{prose(number + 300, 1)} {passage} {prose(number + 400, 1)}"]
            (folder / f"{number:02}.txt").write_text("\n\n".join([prose(number, 3), line, *shared, prose(number + 100, 2)]))
        (folder / "page.txt").write_text("\n\n".join([prose(500, 2), *[" ".join(prose(501, 3).split())] * 2, prose(502, 2)]))
        for number, share in ((1, 0.0), (2, 0.01), (3, 0.02)):
            text = (folder / f"{number:02}.txt").read_text()
            (folder / f"copy{number}.txt").write_text(edited(text, share) if share else text.upper())
        write_recipe(folder)
    settings = (f"ingest.shards={SHARDS}", *RULES, *changes)
    return load(str(folder), settings).model_copy(update={"store": str(store), "tracking": "none"})


def test_partitions_make_the_artifact_of_one_task_and_all_after_it_is_reused(prefect: None, tmp_path: Path) -> None:
    whole = make(shelf(tmp_path / "books", tmp_path / "store"))
    for rule in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed", "lines_removed", "substrings_removed"):
        assert whole["dedup"].metrics[rule], rule
    parts = make(shelf(tmp_path / "books", tmp_path / "store", "dedup.partitions=2"))
    assert (parts["dedup"].digest, parts["dedup"].metrics) == (whole["dedup"].digest, whole["dedup"].metrics)
    assert {place: parts[place].address for place in AFTER} == {place: whole[place].address for place in AFTER}
