"""Examining a step: both models on the same rows, a table of them, and figures that a gate can judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.aims.config import ExamineConfig
from model.aims.examine import examine
from model.aims.protocol import StepGate
from model.evaluation.gate import judge
from model.evaluation.intervals import read_units
from model.evaluation.loss import evaluate_loss
from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.networks.directory import TOKENIZER_DIGEST, ModelError, save_model
from model.training.config import SftConfig

CONFIG = ExamineConfig(aim=SftConfig().aim(), rows=100, text=True, questions=True, answer_tokens=4)
Examiner = Callable[..., dict[str, float]]


@pytest.fixture(scope="module")
def models(decoder: Decoder, chat_format: ChatFormat, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny random model, and one that guesses every token alike, which is better at what it has not learned."""
    folder, flat = tmp_path_factory.mktemp("models"), Decoder(decoder.config, decoder.vocab_size, seed=0).eval()
    with torch.no_grad():
        for parameter in flat.parameters():
            parameter.mul_(0.01)
    for name, network in (("random", decoder), ("flat", flat)):
        save_model(network, folder / name, extra={TOKENIZER_DIGEST: chat_format.digest})
    return {name: folder / name for name in ("random", "flat")}


@pytest.fixture
def examined(models: dict[str, Path], packed: Path, tokenizer_dir: Path, tmp_path: Path) -> Examiner:
    for name in ("seen", "heldout"):
        lines = [
            {"question": f"{name} {n}?", "answers": ["Ada"], "fact": str(n)} for n in range(40)
        ]  # of fewer than 36, none that fails shows no tenth
        (tmp_path / f"questions_{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(before: str, after: str, config: ExamineConfig = CONFIG) -> dict[str, float]:
        output = tmp_path / f"{before}-{after}"
        given = (models[before], models[after], tokenizer_dir, tmp_path, output)
        return examine(*given, config, text=packed / "val" if config.text else None, rows=packed / "val", judge=None, threads=1)

    return run


def verdicts(folder: Path, gate: StepGate) -> dict[str, bool]:
    """What the gate says of the files, read as its stage reads them."""
    bounds = gate.judging(CONFIG.aim, makes_policy=True).bounds
    measured = {name: json.loads((folder / name / "metrics.json").read_text()) for name in ("before", "after")}
    metrics = {f"{name}.{metric}": value for name, found in measured.items() for metric, value in found.items()}
    units = {f"{name}.{metric}": found for name in measured for metric, found in read_units(folder / name).items()}
    return {verdict.metric: verdict.passed for verdict in judge(metrics, bounds, units=units)}


def test_a_better_model_passes_by_its_own_measure_and_what_it_costs_is_measured_besides(
    examined: Examiner, decoder: Decoder, packed: Path, tmp_path: Path
) -> None:
    told = examined("random", "flat")
    assert told["after"] < told["before"] and told["gain"] == pytest.approx(told["before"] - told["after"])
    assert 0 < told["gain_low"] <= told["gain"] <= told["gain_high"]
    assert told["before_val.bits_per_byte"] == pytest.approx(evaluate_loss(decoder, packed / "val").metrics["bits_per_byte"])
    assert told["before_questions.seen"] == told["after_questions.heldout"] == 0
    assert all(verdicts(tmp_path / "random-flat", StepGate()).values())


def test_the_table_of_rows_adds_up_to_the_summary(examined: Examiner, tmp_path: Path) -> None:
    told = examined("random", "flat")
    rows = [json.loads(line) for line in (tmp_path / "random-flat" / "rows.jsonl").read_text().splitlines()]
    summary = json.loads((tmp_path / "random-flat" / "summary.json").read_text())
    for when in ("before", "after"):
        assert sum(row[when] for row in rows) / sum(row["weight"] for row in rows) == pytest.approx(summary[when])
        assert summary[when] == told[when]
    assert summary["measure"] == "answer_loss" and summary["lower_is_better"] and summary["units"] == len(rows)


def test_a_step_that_changed_nothing_and_one_that_made_it_worse_fail_by_their_own_measure(examined: Examiner, tmp_path: Path) -> None:
    assert examined("random", "random")["gain"] == 0
    same = verdicts(tmp_path / "random-random", StepGate())
    assert [metric for metric, passed in same.items() if not passed] == ["after.aim.answer_loss"]
    assert examined("flat", "random")["gain"] < 0
    assert not verdicts(tmp_path / "flat-random", StepGate(most_right_lost=None))["after.val.bits_per_byte"]


def test_only_what_is_judged_is_measured(examined: Examiner) -> None:
    told = examined("random", "flat", CONFIG.model_copy(update={"text": False, "questions": False}))
    assert not [name for name in told if "bits_per_byte" in name or "questions" in name]


def test_a_model_of_another_tokenizer_is_refused(examined: Examiner, models: dict[str, Path], tmp_path: Path, decoder: Decoder) -> None:
    save_model(decoder, tmp_path / "other", extra={TOKENIZER_DIGEST: "e" * 64})
    models["other"] = tmp_path / "other"
    with pytest.raises(ModelError, match="was trained with tokenizer eeeeeeeeeeee"):
        examined("random", "other")
