"""A release with two quantized variants: each is a stage, is measured, judged and released under its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.chat_models import variant_directory
from flows.cli.planning import plan_recipe
from flows.cli.run import summary
from flows.cli.snapshot import open_snapshot
from flows.cli.views.lineage import show_lineage
from flows.services.home import home, store_url
from model.evaluation.gate import judge
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.quantization.config import quantize, quantizer_of
from model.quantization.integers import Int8Config
from tasks.lineage.corpus_run import find_document
from tasks.lineage.holdings import find_holdings
from tests.end_to_end.conftest import FinishedRun, run_at_home

pytestmark = pytest.mark.slow
RECIPE = str(Path(__file__).with_name("variants.yaml"))


@pytest.fixture(scope="module")
def variants(four_books: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home with a copy of the store of `four_books`, so it reuses what that made before its release."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("variants"), four_books.store) as finished:
        yield finished


def test_each_variant_is_a_stage_and_only_what_depends_on_the_list_runs(variants: FinishedRun) -> None:
    assert [decision.position for decision in variants.before if decision.action != "reuse"] == [
        "quantize.small", "measure.small", "export", "evaluate.release", "evaluate.small", "gate.release",
    ]  # fmt: skip
    assert {"quantize.int8", "quantize.small", "evaluate.int8", "evaluate.small"} <= set(variants.artifacts)


def test_a_changed_variant_reruns_itself_and_a_renamed_one_nothing_of_its_own(variants: FinishedRun) -> None:
    changed = plan_recipe(RECIPE, ("release.variants[1].group_size=32",), frozenset(), False).decisions
    assert [decision.position for decision in changed if decision.action != "reuse"] == [
        "quantize.small", "measure.small", "export", "evaluate.release", "evaluate.small", "gate.release",
    ]  # fmt: skip
    bounds = "gates.release.bounds=[{metric: tiny.test.bits_per_byte, maximum: 2.7}]"
    renamed = plan_recipe(RECIPE, ("release.variants[1].name=tiny", bounds), frozenset(), False).decisions
    assert {decision.position: decision.action for decision in renamed}["quantize.tiny"] == "reuse"


def test_a_kind_that_calibrates_gets_the_training_rows(variants: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Int8Config, "CALIBRATES", True)
    decided = {decision.position: decision for decision in plan_recipe(RECIPE, (), frozenset(), False).decisions}
    assert decided["quantize.int8"].action == "run" and "rows" in "; ".join(decided["quantize.int8"].causes)
    assert decided["quantize.small"].action == "reuse"


def test_the_gate_judges_every_variant_and_random_weights_fail_it(variants: FinishedRun, tmp_path: Path) -> None:
    from model.evaluation.evaluate import evaluate
    from model.networks.directory import read_config

    verdict = json.loads((variants.folder("gate.release") / "verdict.json").read_text())
    assert [row["verdict"] for row in verdict["rows"]] == ["passed"] * 3
    config, vocab_size = read_config(variants.folder("tune.dpo"))
    assert isinstance(config, DecoderConfig)
    save_model(Decoder(config, vocab_size, seed=3), tmp_path / "random")
    measured: dict[str, float] = {}
    for variant in variants.recipe.release.variants:
        quantize(tmp_path / "random", tmp_path / variant.name, variant)
        found = evaluate(
            tmp_path / variant.name, variants.folder("tokenizer"), variants.folder("pack"), variants.folder("examples"),
            tmp_path / f"measured_{variant.name}", variants.recipe.evaluate.release, threads=1,
        )  # fmt: skip
        measured |= {f"{variant.name}.{metric}": value for metric, value in found.items()}
    (bound,) = (bound for bound in variants.recipe.gates.release.bounds if bound.metric == "small.test.bits_per_byte")
    (outcome,) = judge(measured, [bound])
    assert not outcome.passed and measured["small.test.bits_per_byte"] > 3
    assert variants.artifacts["evaluate.small"].metrics["test.bits_per_byte"] < 2.7


def test_the_release_holds_each_variant_in_a_folder_of_its_name_that_can_be_talked_to(variants: FinishedRun) -> None:
    exported = variants.folder("export")
    for variant in variants.recipe.release.variants:
        directory = variant_directory(exported, variant.name)
        assert directory == exported / variant.name and quantizer_of(directory) == variant.build()
        for file in variant.build().files:
            assert (directory / file).read_bytes() == (variants.folder(f"quantize.{variant.name}") / file).read_bytes()
        assert "".join(ChatModel.open(directory).say("Continue: The cat", SamplingConfig(temperature=0.0, max_new_tokens=32), 0)).strip()
    with pytest.raises(LookupError, match="no variant 'int2'; it has int8, small"):
        variant_directory(exported, "int2")


def test_card_summary_report_and_lineage_name_both(variants: FinishedRun) -> None:
    card = (variants.folder("export") / "README.md").read_text(encoding="utf-8")
    assert "INT8 in `int8/`; INT4 in `small/`" in card
    assert all(f"| {name} | sha256 {variants.artifacts[f'quantize.{name}'].digest} |" in card for name in ("int8", "small"))
    text = summary(variants.recipe, variants.artifacts, 5.0)
    assert "its INT8 form" in text and "its small form" in text
    page = (home() / "reports" / "variants.html").read_text(encoding="utf-8")
    for shown in ("quantize.int8", "quantize.small", "INT8 costs", "small costs", "small changes its bits per byte"):
        assert shown in page, shown
    lineage = json.loads(show_lineage(str(variants.folder("export")), as_json=True))
    assert sum(node["stage"] == "quantize" for node in lineage["nodes"]) == 2


def test_a_takedown_finds_what_both_variants_learned(variants: FinishedRun) -> None:
    import pyarrow.parquet as pq

    snapshot = open_snapshot(store_url())
    identity = pq.read_table(variants.folder("split[0]") / "train.parquet", columns=["id"])["id"][0].as_py()
    found = find_document(snapshot, identity)
    assert found is not None
    held = {holding.artifact.address: holding for holding in find_holdings(snapshot, found[0])}
    assert all(held[variants.artifacts[position].address].learned for position in ("quantize.int8", "quantize.small", "export"))
