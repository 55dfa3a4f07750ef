"""Other networks than causal, dense decoders go through all chapters: three learn to answer, two fill gaps, one continues prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flows.cli.chat_session import talk
from flows.cli.planning import plan_recipe
from flows.cli.run import summary
from flows.recipe.loading import load
from flows.services.home import home
from model.evaluation.evaluate import evaluate
from model.evaluation.gate import judge
from model.inference.open_model import open_model
from model.networks.directory import load_model, read_config, save_model
from tests.end_to_end.conftest import FinishedRun, run_at_home

FILLS = ("encoder", "encoder_decoder")
UNTUNED = (*FILLS, "prefix")
KINDS = ("recurrent", "hybrid", "experts", *UNTUNED)
GREEDY = {"temperature": 0.0, "top_k": None, "top_p": None, "max_new_tokens": 24}


def recipe_file(kind: str) -> str:
    return str(Path(__file__).with_name(f"{kind}.yaml"))


@pytest.fixture(scope="module", params=KINDS)
def finished(request: pytest.FixtureRequest, prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(recipe_file(request.param), tmp_path_factory.mktemp(request.param)) as finished:
        yield finished


@pytest.mark.slow
def test_it_goes_through_all_chapters_and_again_reuses_everything(finished: FinishedRun) -> None:
    tuned = [position for position in finished.artifacts if position.startswith(("tune.", "encode"))]
    assert tuned == ([] if finished.recipe.name in UNTUNED else ["encode", "tune.sft"])
    for position in ("gate.base", "gate.chat", "gate.release"):
        verdicts = json.loads((finished.folder(position) / "verdict.json").read_text())["rows"]
        assert verdicts and {row["verdict"] for row in verdicts} == {"passed"}
    again = plan_recipe(recipe_file(finished.recipe.name), (), frozenset(), False).decisions
    assert {decision.action for decision in again} == {"reuse"}


@pytest.mark.slow
def test_random_weights_fail_each_gate_that_the_model_passes(finished: FinishedRun, tmp_path: Path) -> None:
    config, vocab_size = read_config(finished.folder("pretrain"))
    save_model(config.build(vocab_size, seed=3), tmp_path / "random")
    recipe = finished.recipe
    for chapter in ("base", "chat", "release"):
        measured = evaluate(
            tmp_path / "random", finished.folder("tokenizer"), finished.folder("pack"), finished.folder("examples"), tmp_path / chapter,
            getattr(recipe.evaluate, chapter), threads=1,
        )  # fmt: skip
        bounds = [bound for bound in getattr(recipe.gates, chapter).bounds if bound.metric.startswith(chapter) and not bound.relative_to]
        outcomes = judge({f"{chapter}.{metric}": value for metric, value in measured.items()}, bounds)
        assert outcomes and not any(outcome.passed for outcome in outcomes)


@pytest.mark.slow
def test_the_release_is_its_own_network_in_every_form(finished: FinishedRun) -> None:
    exported = finished.folder("export")
    network, tokens = load_model(exported), {"tokens": torch.arange(60)[None]}
    with torch.no_grad():
        logits = network.logits(tokens)
        assert logits.equal(load_model(finished.folder("tune.sft" if finished.recipe.tuning else "pretrain")).logits(tokens))
        assert (open_model(exported / "int8").logits(tokens) - logits).std() < 0.1 * logits.std()
    assert network.config == finished.recipe.model


@pytest.mark.slow
def test_only_what_writes_text_can_be_talked_to(finished: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    told = summary(finished.recipe, finished.artifacts, 5.0)
    if finished.recipe.name not in FILLS:
        talk(str(finished.folder("export")), None, GREEDY, None, "Where does Emil live?")
        assert capsys.readouterr().out.strip() and "talk to it" in told
        assert ("A conversation with it" in told) is bool(finished.recipe.tuning)
    else:
        with pytest.raises(ValueError, match=rf"kind={finished.recipe.name} writes no text: it can be neither asked nor talked to"):
            talk(str(finished.folder("export")), None, GREEDY, None, "Where does Emil live?")
        assert "talk to it" not in told and "samples" not in told


@pytest.mark.slow
def test_card_and_report_say_what_was_measured(finished: FinishedRun) -> None:
    card = (finished.folder("export") / "README.md").read_text()
    page = (home() / "reports" / f"{finished.recipe.name}.html").read_text(encoding="utf-8")
    if finished.recipe.name not in FILLS:
        assert "folio chat ." in card and "How well it predicts text" in page and "bits per byte" in page
    else:
        assert ("whose id is" in card or "marked by the id" in card) and "folio chat" not in card
        assert "How well it fills gaps" in page and "hidden tokens found" in page and "How well it predicts text" not in page


@pytest.mark.parametrize("kind", (*KINDS, "contrastive"))
def test_the_recipe_is_accepted(kind: str) -> None:
    model = load(recipe_file(kind)).model
    assert model.kind == {"experts": "decoder", "prefix": "decoder", "contrastive": "encoder"}.get(kind, kind)
    assert (model.mixes_experts, model.reads_prompts) == (kind == "experts", kind == "prefix")
