"""A model that reads a column of vectors beside its tokens: packed, learned, tuned, quantized, released and talked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from data.shards.reader import ShardReader
from data.tokens.encoder import TextEncoder
from data.tokens.pack import spelling_table
from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from model.evaluation.evaluate import evaluate
from model.evaluation.gate import judge
from model.evaluation.loss import evaluate_loss
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inputs.inputs import inputs_of
from model.networks.directory import load_model, read_config, save_model
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("vectors.yaml"))


@pytest.fixture(scope="module")
def vectors(four_books: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home with a copy of the store of `four_books`, so it reuses what that made before its rows."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("vectors"), four_books.store) as finished:
        yield finished


@pytest.mark.slow
def test_only_what_depends_on_the_rows_runs(vectors: FinishedRun) -> None:
    reused = [decision.position for decision in vectors.before if decision.action == "reuse"]
    assert {"ingest[0]", "split[0]", "examples", "tokenizer", "encode"} <= set(reused) and "pack" not in reused


@pytest.mark.slow
def test_packed_rows_hold_how_each_token_is_spelled_and_the_model_keeps_the_table(vectors: FinishedRun) -> None:
    reader = ShardReader(vectors.folder("pack") / "train")
    rows = reader.rows(np.arange(len(reader)))
    table = spelling_table(TextEncoder(vectors.folder("tokenizer")).spellings, 64).astype(np.float32)
    assert rows["spelling"].shape[2] == 64 and np.array_equal(rows["spelling"], table[rows["tokens"]])
    for position in ("pretrain", "tune.sft", "tune.dpo", "export"):
        assert np.array_equal(load_model(vectors.folder(position)).get_buffer("model.embed_spelling.table").numpy(), table), position


@pytest.mark.slow
def test_the_model_has_learned_to_read_it_and_is_the_worse_without(vectors: FinishedRun) -> None:
    network, rows = load_model(vectors.folder("pretrain")), vectors.folder("pack") / "train"
    whole = evaluate_loss(network, rows).metrics["bits_per_byte"]
    for module in inputs_of(network):
        for table in module.buffers():
            table.zero_()
    assert evaluate_loss(network, rows).metrics["bits_per_byte"] == whole, "the rows have the column"
    with torch.no_grad():
        network.get_parameter("model.embed_spelling.weight").zero_()
    assert evaluate_loss(network, rows).metrics["bits_per_byte"] > whole + 0.1


@pytest.mark.slow
def test_random_weights_fail_the_gate_that_the_model_passes(vectors: FinishedRun, tmp_path: Path) -> None:
    verdict = json.loads((vectors.folder("gate.release") / "verdict.json").read_text())
    assert [row["verdict"] for row in verdict["rows"]] == ["passed"] * 2
    config, vocab_size = read_config(vectors.folder("tune.dpo"))
    random = config.build(vocab_size, seed=3)
    for module in inputs_of(random):
        module.bind(ShardReader(vectors.folder("pack") / "train"))
    save_model(random, tmp_path / "random")
    found = evaluate(
        tmp_path / "random", vectors.folder("tokenizer"), vectors.folder("pack"), vectors.folder("examples"), tmp_path / "measured",
        vectors.recipe.evaluate.release, threads=1,
    )  # fmt: skip
    (bound,) = (bound for bound in vectors.recipe.gates.release.bounds if bound.metric == "release.test.bits_per_byte")
    (outcome,) = judge({f"release.{metric}": value for metric, value in found.items()}, [bound])
    assert not outcome.passed and found["test.bits_per_byte"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "int8"])
def test_the_release_can_be_talked_to(vectors: FinishedRun, folder: str) -> None:
    said = ChatModel.open(vectors.folder("export") / folder).say("Continue: The cat", SamplingConfig(temperature=0.0, max_new_tokens=32), 0)
    assert "".join(said).strip()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("pack.spelling=32", "pack.spelling=32 is the width of a column that rows get, and model.inputs reads 64 numbers of it"),
        ("model.inputs=[]", "pack.spelling=64 is the width of a column that rows get, and model.inputs reads 0 numbers of it"),
        ("model.inputs[1].column=frames", "pack.frames=0 is the width of a column that rows get, and model.inputs reads 64 numbers of it"),
        ("model.inputs[1].from_tokens=false", "model.inputs reads spelling, which doesn't follow from the tokens"),
        ("model.inputs[1].sise=3", "sise: unknown key (value 3); did you mean size?"),
        ("resources.training.parallel={workers: 2, pipeline: 2}", "model.inputs with resources.training.parallel.pipeline=2"),
    ],
)
def test_rows_and_inputs_that_do_not_fit_are_refused_by_name(change: str, fault: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(RECIPE, (change,))
    assert fault in str(error.value)
