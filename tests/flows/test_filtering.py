"""The corpus chapter with filters, run for real up to the audit: a recipe without any has no such stage."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.recipe.initialize import write_recipe
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from tests.data.dedup.books import prose
from tests.data.filtering.test_quality import BAD, GOOD, text
from tests.flows.test_corpus import make, planned

ON = (
    "ingest.shards=2",
    "ingest.sources[0].formats=['txt']",
    "filter.language.enabled=true",
    "filter.blocked.enabled=true",
    "filter.blocked.phrase_files=['bad.list']",
    "filter.quality.enabled=true",
    "filter.quality.positive=['good.jsonl']",
    "filter.quality.negative=['bad.jsonl']",
    "filter.quality.features_log2=12",
    "filter.quality.threshold=0.0",
    "filter.pii.enabled=true",
)


def load_on(folder: Path, *changes: str) -> Recipe:
    """The folder's recipe with filters, and a store of its own."""
    recipe = load(str(folder), (*ON, *changes))
    return recipe.model_copy(update={"store": str(folder.parent / "store"), "tracking": "none"})


@pytest.mark.slow
def test_filters_run_shard_by_shard_between_cleaning_and_deduplication(prefect: None, tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(prose(number, paragraphs=2))
    (folder / "11.txt").write_text(prose(11) + "\n\nA casino stood there.")
    (folder / "10.txt").write_text(prose(10) + "\n\nWrite to miller@mill.org.")
    write_recipe(folder)
    for name, words in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text(words, seed)}) for seed in range(8)))
    (folder / "bad.list").write_text("casino\n")

    assert not {"filter[0]", "quality"} & set(planned(load(str(folder)).model_copy(update={"store": str(tmp_path / "none")})))
    recipe = load_on(folder)
    artifacts = make(recipe)
    filtered = [artifacts[f"filter[{number}]"] for number in range(2)]
    assert sum(artifact.metrics["documents"] for artifact in filtered) == 11
    assert sum(artifact.metrics.get("removed_blocked_phrases", 0) for artifact in filtered) == 1
    assert sum(artifact.metrics.get("redacted_email", 0) for artifact in filtered) == 1
    assert [any(file.path == "personal_data.json" for file in artifact.files) for artifact in filtered] == [True, False]
    assert {given.stage for given in artifacts["dedup"].inputs.values()} == {"filter"}
    assert artifacts["audit"].metrics["balanced"] == 1 and artifacts["audit"].metrics["documents_removed_filter"] == 1
    trains = [tmp_path / "store" / artifacts[f"split[{number}]"].location / "train.parquet" for number in range(2)]
    rows = pq.read_table(trains, columns=["text", "metadata"]).to_pylist()
    assert all({"language", "language_probability", "quality", "path"} <= set(json.loads(row["metadata"])) for row in rows)
    assert not any("miller@" in row["text"] for row in rows)

    assert {decision.action for decision in planned(recipe).values()} == {"reuse"}
    judged = planned(load_on(folder, "filter.quality.threshold=0.01"))
    assert (judged["quality"].action, judged["filter[0]"].action) == ("reuse", "run")
    (folder / "bad.list").write_text("casino\nmoneylender\n")
    again = planned(recipe)
    assert again["filter[1]"].causes == ("file bad.list changed",) and again["quality"].action == again["clean[1]"].action == "reuse"
    (folder / "bad.jsonl").write_text((folder / "good.jsonl").read_text())
    assert planned(recipe)["quality"].causes == ("file negative/bad.jsonl changed",)


def test_a_key_of_a_group_that_is_off_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"filter.gopher_quality.minimum_words=9 does nothing while filter.gopher_quality.enabled=false"):
        load("four_books", ("filter.gopher_quality.minimum_words=9",))
