"""A run that tunes by an adapter: the untuned model fails the gate that the tuned one passes, and the adapter is part of the artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flows.cli.planning import plan_recipe
from flows.cli.serving import find_served
from model.evaluation.gate import judge
from model.inference.open_model import open_model
from model.networks.directory import load_model, read_config
from tasks.project import FOLIO
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.tracing.source import Source
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("adapted.yaml"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adapted(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("adapted")) as finished:
        yield finished


def test_the_gate_passes_the_tuned_model_and_would_stop_the_untuned_one(adapted: FinishedRun) -> None:
    bounds = adapted.recipe.gates.chat.bounds
    tuned, untuned = (adapted.artifacts[f"evaluate.{name}"].metrics for name in ("chat", "base"))
    assert all(verdict.passed for verdict in judge({f"chat.{name}": value for name, value in tuned.items()}, bounds))
    assert not any(verdict.passed for verdict in judge({f"chat.{name}": value for name, value in untuned.items()}, bounds))


def test_the_adapter_lies_beside_the_merged_weights_and_gives_them_from_the_base(adapted: FinishedRun) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    files = {known.path for known in adapted.artifacts["tune.answers"].files}
    assert {"model.safetensors", "config.json", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= files
    base, tuned = adapted.folder("pretrain"), adapted.folder("tune.answers")
    assert read_config(base) == read_config(tuned)
    llama = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), tuned / "adapter").eval()
    tokens_BT = torch.arange(100, 164).view(2, 32)
    torch.testing.assert_close(llama(input_ids=tokens_BT).logits, load_model(tuned).logits({"tokens": tokens_BT}), atol=1e-4, rtol=1e-4)


def test_an_adapter_of_the_tuned_model_is_released_beside_it_and_talks(adapted: FinishedRun) -> None:
    release = adapted.folder("export")
    assert (release / "adapters" / "soft" / "adapter_model.safetensors").is_file()
    assert list(find_served([str(release)])[release].values()) == [None, release / "adapters" / "soft"]
    assert "questions.seen" in adapted.artifacts["evaluate.soft"].metrics
    assert adapted.artifacts["adapt.soft"].metrics["trained_parameters"] == 4 * 96
    tokens = {"tokens": torch.arange(100, 164).view(2, 32)}
    with_it = open_model(release, release / "adapters" / "soft").logits(tokens)
    torch.testing.assert_close(with_it, open_model(adapted.folder("adapt.soft")).logits(tokens), atol=1e-4, rtol=1e-4)
    assert (with_it - open_model(release).logits(tokens)).abs().max() > 1e-3
    decisions = plan_recipe(RECIPE, ("adapters.soft.adapter.length=5",), frozenset(), False).decisions
    assert [decision.position for decision in decisions if decision.action != "reuse"][:2] == ["adapt.soft", "evaluate.soft"]


def test_another_rank_reruns_the_step_and_what_follows_alone(adapted: FinishedRun) -> None:
    tuning = json.loads(adapted.recipe.tuning[0].model_dump_json())
    tuning["adapter"]["rank"] = 4
    decisions = plan_recipe(RECIPE, (f"tuning=[{json.dumps(tuning)}]",), frozenset(), False).decisions
    (first, *_) = (decision for decision in decisions if decision.action != "reuse")
    assert first.position == "tune.answers" and "adapter.rank" in "; ".join(first.causes)
    traces = TraceChecker(adapted.store, Source.of(FOLIO), None)
    counted = {position: traces.recorded(adapted.artifacts[position]) for position in ("pretrain", "tune.answers")}
    assert {position: trace is not None and "library peft" in trace.entries for position, trace in counted.items()} == {
        "pretrain": False,
        "tune.answers": True,
    }


def test_an_edit_of_an_adapter_s_code_concerns_the_steps_that_train_it_alone(adapted: FinishedRun) -> None:
    traces, ran = TraceChecker(adapted.store, Source.of(FOLIO), None), "ran model/adapters/prefixes.py:PrefixedAdapter.inject"
    counted = {position: traces.recorded(adapted.artifacts[position]) for position in ("pretrain", "tune.answers", "adapt.soft")}
    assert [position for position, trace in counted.items() if trace is not None and ran in trace.entries] == ["adapt.soft"]
