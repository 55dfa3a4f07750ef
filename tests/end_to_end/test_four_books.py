"""Four sentences become a model in seconds, through every real stage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flows.cli.chat_models import model_directory, unreleased_directory
from flows.cli.planning import plan_recipe
from flows.cli.run import summary
from flows.recipe.gate_checks import metrics_of
from flows.services.home import home, tracking_url
from tasks.stage.store.journal import Journal
from tasks.stage.tracking.export import wait_until_exported
from tests.end_to_end.conftest import FinishedRun

STAGES = (
    "ingest[0]", "census", "clean[0]", "dedup", "assign", "split[0]", "survey[0]", "overlap[0]", "audit", "gate.corpus", "examples",
    "allot", "sample[0]", "fit", "restore[0]", "tokenizer", "pack", "baseline", "pretrain", "evaluate.base", "gate.base", "encode",
    "tune.sft", "evaluate.sft", "pair.dpo", "tune.dpo", "evaluate.chat", "gate.chat", "quantize.int8", "measure.int8", "export",
    "evaluate.release", "evaluate.int8", "gate.release",
)  # fmt: skip


def test_a_cat_sits_or_sleeps_with_equal_probability(four_books: FinishedRun) -> None:
    measured = four_books.artifacts["evaluate.base"].metrics
    for animal in ("the_cat", "the_dog"):
        for verb in ("sat", "slept"):
            assert measured[f"probe.{animal}.{verb}"] == pytest.approx(0.5, abs=0.06), (animal, verb)


def test_the_plan_named_every_stage_before_it_ran(four_books: FinishedRun) -> None:
    assert tuple(decision.position for decision in four_books.before) == STAGES
    assert all(decision.action == "run" for decision in four_books.before)
    assert tuple(four_books.artifacts) == STAGES


def test_a_second_run_reuses_every_stage_and_makes_no_artifact(four_books: FinishedRun) -> None:
    from flows.flow import pipeline

    decisions = plan_recipe("four_books", (), frozenset(), False).decisions
    assert {decision.action for decision in decisions} == {"reuse"}
    again = pipeline(four_books.recipe)
    assert again == four_books.artifacts, "records hold keys, digests and the time at which each was made"


def test_a_run_that_reuses_everything_loads_no_library_for_tables_training_or_drawings(
    four_books: FinishedRun, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "flows.cli.app", "run", "four_books"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert "prefect" in loaded
    assert not loaded & {"numpy", "pyarrow", "duckdb", "torch", "tokenizers", "matplotlib", "networkx", "mlflow"}


def test_the_unreleased_model_is_the_one_that_tuning_ended_with(four_books: FinishedRun) -> None:
    folder = unreleased_directory("four_books")
    assert (folder / "model.safetensors").resolve() == (four_books.folder("tune.dpo") / "model.safetensors").resolve()
    assert (folder / "tokenizer.json").resolve() == (four_books.folder("tokenizer") / "tokenizer.json").resolve()
    assert unreleased_directory("four_books") == folder


def test_a_changed_key_is_named_with_old_and_new_value_and_reruns_only_what_follows(four_books: FinishedRun) -> None:
    decisions = plan_recipe("four_books", ("sft.learning_rate=0.002",), frozenset(), False).decisions
    by_place = {decision.position: decision for decision in decisions}
    assert by_place["tune.sft"].causes == ("train.learning_rate: 0.003 -> 0.002",)
    assert [place for place in STAGES if by_place[place].action == "reuse"] == list(STAGES[: STAGES.index("tune.sft")])


def test_every_metric_that_a_gate_is_given_may_be_named_in_its_bounds_and_no_other(four_books: FinishedRun) -> None:
    given = {
        "corpus": {"corpus": "audit"},
        "base": {"base": "evaluate.base", "baseline": "baseline", "pack": "pack"},
        "chat": {"chat": "evaluate.chat", "base": "evaluate.base", "baseline": "baseline"},
        "release": {
            **{name: f"evaluate.{name}" for name in ("release", "int8", "chat", "base")},
            "baseline": "baseline",
        },
    }
    for chapter, positions in given.items():
        measured = {f"{name}.{metric}" for name, place in positions.items() for metric in four_books.artifacts[place].metrics}
        unasked = set() if chapter == "corpus" else {"baseline.chance.questions.heldout"}  # four sentences leave no question to hold out
        assert measured | unasked == set(metrics_of(four_books.recipe, chapter)), chapter


def test_transformers_computes_the_exported_model_s_logits_and_chat_format(four_books: FinishedRun) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from model.inference.chat_format import ChatFormat
    from model.networks.directory import load_model

    exported = four_books.folder("export")
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(exported).eval(), AutoTokenizer.from_pretrained(exported)
    ours = load_model(four_books.folder("tune.dpo")).eval()
    tokens = torch.tensor([tokenizer.encode("The cat sat.")])
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, ours.logits({"tokens": tokens}), atol=1e-5, rtol=0)
    messages = [{"role": "user", "content": "The cat"}]
    told = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert told == ChatFormat(exported).encode_chat(messages)


def test_the_summary_shows_gates_probabilities_samples_paths_and_commands(four_books: FinishedRun) -> None:
    text = summary(four_books.recipe, four_books.artifacts, 0.0)
    for expected in (
        "gate.release",
        "P the_cat.sat = 0.",
        "The ",
        "reused everything, made in ",
        "this took 0.0 s",
        "folio up",
        "folio chat four_books",
        "four_books.html",
    ):
        assert expected in text, expected


def until_mlflow_was_told(finished: FinishedRun) -> None:
    """Wait until MLflow was told of every run of a store."""
    journal = Journal(finished.store)
    for record in journal.records():
        told = wait_until_exported(journal, record.id, 300)
        assert told is not None and told.complete, told


def test_the_report_is_one_page_and_mlflow_has_it(four_books: FinishedRun) -> None:
    page = home() / "reports" / "four_books.html"
    text = page.read_text(encoding="utf-8")
    assert "probe" in text and "<script" not in text and "gate.release" in text
    until_mlflow_was_told(four_books)
    copies = [path for path in (home() / "mlflow" / "four_books").rglob("report.html")]
    assert copies and all(copy.stat().st_size > 10_000 for copy in copies)


def test_mlflow_has_a_parent_run_its_stages_its_models_and_a_champion(four_books: FinishedRun) -> None:
    from mlflow.tracking import MlflowClient

    until_mlflow_was_told(four_books)
    client = MlflowClient(tracking_uri=tracking_url(), registry_uri=tracking_url())
    experiment = client.get_experiment_by_name("four_books")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    parents = [run for run in runs if run.data.tags.get("folio.kind") == "pipeline"]
    first = min(parents, key=lambda run: run.info.start_time)
    assert first.info.status == "FINISHED"
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == first.info.run_id]
    assert {run.info.run_name for run in children} == {place.partition("[")[0] for place in STAGES}
    trained = next(run for run in children if run.info.run_name == "pretrain")
    assert trained.inputs is not None and [given.dataset.digest for given in trained.inputs.dataset_inputs]
    assert len(client.get_metric_history(trained.info.run_id, "train.loss")) > 1
    champion = client.get_model_version_by_alias("folio-four_books", "champion")
    assert champion.tags["folio.digest"] == four_books.artifacts["export"].digest


def test_the_released_model_is_found_by_its_recipe_s_name_and_its_replies_end(four_books: FinishedRun) -> None:
    from model.inference.chat import ChatModel
    from model.inference.config import SamplingConfig

    directory = model_directory("four_books")
    assert directory == four_books.folder("export")
    for place in (directory, directory / "int8"):
        reply = "".join(ChatModel.open(place).say("Continue: The cat", SamplingConfig(temperature=0.0, max_new_tokens=32), 0))
        assert reply.strip()


def test_the_card_and_the_records_say_how_the_model_was_made(four_books: FinishedRun) -> None:
    card = (four_books.folder("export") / "README.md").read_text(encoding="utf-8")
    assert "four\\_books" in card and "library_name: transformers" in card
    record = json.loads((Path(four_books.folder("pretrain")) / "artifact.json").read_text())
    assert record["inputs"]["shards"]["digest"] == four_books.artifacts["pack"].digest
    assert record["origin"]["packages"]["torch"] and record["cost"]["wall_seconds"] > 0
