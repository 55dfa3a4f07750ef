"""The stage that writes, with a model for real: its texts are kept under a key that knows every file of the model."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect import flow

from data.synthetic.config import ModelMaker, SyntheticSource
from data.tokens.config import TokenizerConfig
from data.tokens.tokenizer import fit_tokenizer
from flows.recipe.loading import load
from model.networks.directory import save_model
from tasks.corpus import synthesize
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run
from tasks.stage.store.artifact import Artifact
from tests.data.dedup.books import prose, write
from tests.model.conftest import random_decoder

MAKER = ModelMaker(directory="release", prompts_file="begin.txt", samples=3, max_tokens=12)


def _made(root: Path, maker: ModelMaker = MAKER) -> Artifact:
    recipe = load("four_books").model_copy(update={"root": str(root), "store": str(root / "store"), "tracking": "none"})

    @flow(name="writing")
    def alone() -> Artifact:
        with open_run(**recipe.run_settings()) as run:
            synthesize(SyntheticSource(maker=maker))
            return run.artifacts["synthesize"]

    return alone()


def _planned(root: Path) -> Decision:
    recipe = load("four_books").model_copy(update={"root": str(root), "store": str(root / "store"), "tracking": "none"})
    with use_options(RunOptions(planning=True)), open_run(**recipe.run_settings()) as run:
        synthesize(SyntheticSource(maker=MAKER))
    return run.decisions[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with an untrained model as if exported, and two beginnings."""
    release = tmp_path / "release"
    fit_tokenizer(write(tmp_path / "texts", {"a": prose(1)}), release, TokenizerConfig(vocab_size=300))
    save_model(random_decoder(300), release)
    (tmp_path / "begin.txt").write_text("Ada went\nBruno came\n")
    return tmp_path


def test_a_models_texts_are_kept_until_the_model_or_a_beginning_changes(prefect: None, root: Path) -> None:
    made = _made(root)
    rows = pq.read_table(root / "store" / made.location / "texts.parquet").to_pylist()
    assert [row["text"].startswith("Ada went") for row in rows] == [True] * 3 + [False] * 3
    assert {row["maker"] for row in rows} == {"model"} and made.metrics["texts"] == 6
    assert _planned(root).action == "reuse"
    (root / "begin.txt").write_text("Ada went\n")
    assert _planned(root).causes == ("file prompts changed",)
    (root / "begin.txt").write_text("Ada went\nBruno came\n")
    with (root / "release" / "config.json").open("a") as stream:
        stream.write("\n")
    assert _planned(root).causes == ("file model/config.json changed",)
    assert _made(root, MAKER.model_copy(update={"prompts": ("Ada went", "Bruno came"), "prompts_file": ""})).digest == made.digest
