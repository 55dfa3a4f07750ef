"""The tokenizer's sample is drawn and its round trip verified shard by shard, by real stages: a change reruns what it must and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect import flow

from data.documents.sharding import shard_of
from data.splits.config import TRAIN_SIZE
from data.tokens.config import RECORD, TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from flows.base import fitted
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tasks.stage.execution.run import RunOptions, current_run, use_options
from tasks.stage.execution.run_context import begin_flow, open_run
from tasks.stage.store.artifact import Artifact, ShardedArtifact
from tests.data.dedup.books import bytes_of, prose, write
from tests.tasks.records import committed

SHARDS = 3
NOTES = {f"{number << 59:016x}": prose(number, 3) for number in range(24)}
CONFIG = TokenizerConfig(vocab_size=300, sample_bytes=sum(map(len, NOTES.values())) // 3)
SAMPLES, RESTORED = ([f"{stage}[{number}]" for number in range(SHARDS)] for stage in ("sample", "restore"))
Actions = dict[str, str]


def splits_of(notes: dict[str, str]) -> ShardedArtifact:
    """Commit the splits of notes that are all trained on, shard by shard."""
    store, items = current_run().store, []
    for shard in range(SHARDS):
        here = {name: text for name, text in notes.items() if shard_of(name, SHARDS) == shard}
        train = write(store.scratch("notes") / "train", here).read_bytes()
        size = json.dumps({"bytes": sum(map(len, here.values()))}).encode()
        items.append(committed(store, {"train.parquet": train, TRAIN_SIZE: size}, stage="split", name=f"{shard} {sorted(here.items())}"))
    return ShardedArtifact(position="split", items=tuple(items))


def make(recipe: Recipe, config: TokenizerConfig, notes: dict[str, str]) -> dict[str, Artifact]:
    """The tokenizer of notes, in a real Prefect flow."""
    begun: list[str] = []

    @flow(name="vocabulary")
    def alone() -> dict[str, Artifact]:
        begun.append(recipe.name)
        with open_run(**recipe.run_settings()) as run:
            fitted(config, splits_of(notes))
            return run.artifacts

    return begin_flow(alone, begun=lambda: bool(begun))


def planned(recipe: Recipe, config: TokenizerConfig, notes: dict[str, str] = NOTES) -> Actions:
    """What making it would do, by position; what would be reused is left out."""
    with use_options(RunOptions(planning=True)), open_run(**recipe.run_settings()) as run:
        fitted(config, splits_of(notes))
    return {decision.position: decision.action for decision in run.decisions if decision.action != "reuse"}


def rerun(before: dict[str, Artifact], after: dict[str, Artifact], positions: list[str]) -> list[str]:
    """The positions whose artifacts are not the same."""
    return [place for place in positions if after[place].address != before[place].address]


@pytest.fixture(scope="module")
def recipe(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe in whose store the tokenizer of the notes is made."""
    store = str(tmp_path_factory.mktemp("vocabulary") / "store")
    recipe = load("four_books").model_copy(update={"store": store, "tracking": "none"})
    artifacts = make(recipe, CONFIG, NOTES)
    assert list(artifacts) == ["allot", *SAMPLES, "fit", *RESTORED, "tokenizer"]
    assert artifacts["allot"].metrics["share"] == 0.5 and all(artifacts[place].metrics["chunks"] for place in SAMPLES)
    return recipe


def test_an_edit_reruns_only_what_depends_on_it(recipe: Recipe) -> None:
    def after(**changes: object) -> Actions:
        return planned(recipe, TokenizerConfig.model_validate({**CONFIG.model_dump(), **changes}))

    assert after() == {}
    waiting = dict.fromkeys([*RESTORED, "tokenizer"], "wait")
    assert after(vocab_size=310) == after(min_frequency=3) == {"fit": "run", **waiting}
    assert after(kind="bpe") == {"fit": "run", **waiting, "tokenizer": "run"}
    assert after(seed=1) == {**dict.fromkeys([*SAMPLES, "fit", *RESTORED], "run"), "tokenizer": "wait"}
    assert after(sample_bytes=CONFIG.sample_bytes + 1) == {"allot": "run", "fit": "run", **dict.fromkeys(SAMPLES, "wait"), **waiting}


def test_a_sentence_added_to_a_note_draws_its_shard_again_and_the_tokenizer_is_that_of_the_whole(recipe: Recipe, tmp_path: Path) -> None:
    notes = {**NOTES, sorted(NOTES)[12]: NOTES[sorted(NOTES)[12]] + " And then it rained."}
    before, after = make(recipe, CONFIG, NOTES), make(recipe, CONFIG, notes)
    assert rerun(before, after, SAMPLES) == [f"sample[{shard_of(sorted(NOTES)[12], SHARDS)}]"]
    assert after["allot"].digest == before["allot"].digest and after["tokenizer"].address != before["tokenizer"].address
    fit_tokenizer(write(tmp_path / "whole", notes), tmp_path / "tokenizer", CONFIG)
    made = bytes_of(Path(recipe.store) / after["tokenizer"].location)
    assert {name: made[name] for name in bytes_of(tmp_path / "tokenizer")} == bytes_of(tmp_path / "tokenizer")


def test_a_sentence_outside_the_sample_verifies_its_shard_again_and_one_that_changes_the_tokenizer_all(recipe: Recipe) -> None:
    before = make(recipe, CONFIG, NOTES)
    sample = pq.read_table(Path(recipe.store) / before["fit"].location / RECORD)
    fitted_on = {row["id"] for row in sample.to_pylist()}
    left_out = min(NOTES.keys() - fitted_on)
    for name, verified in ((left_out, [f"restore[{shard_of(left_out, SHARDS)}]"]), (min(fitted_on), RESTORED)):
        after = make(recipe, CONFIG, {**NOTES, name: NOTES[name] + " zebra" * 99})
        assert rerun(before, after, RESTORED) == verified
        assert after["tokenizer"].metrics["train_bytes"] == before["tokenizer"].metrics["train_bytes"] + 6 * 99


def test_a_text_that_has_doubled_draws_all_shards_again_and_one_that_fits_is_not_stored_twice(recipe: Recipe) -> None:
    doubled = make(recipe, CONFIG, {name: text + prose(99, 3) for name, text in NOTES.items()})
    assert doubled["allot"].metrics["share"] == 0.25
    whole = make(recipe, CONFIG.model_copy(update={"sample_bytes": 2**20}), NOTES)
    assert whole["allot"].metrics["share"] == 1 and not any(whole[place].metrics["bytes"] for place in SAMPLES)
    assert whole["tokenizer"].metrics["sample_fraction"] == 1
