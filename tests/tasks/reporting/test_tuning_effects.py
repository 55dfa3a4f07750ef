"""The report says what each step of tuning did to everything that is measured."""

from __future__ import annotations

from tests.tasks.reporting.example_run import RunMaker


def _measured(bits: float, right: float) -> dict[str, float]:
    return {
        "val.bits_per_byte": bits,
        "val.bits_per_byte_low": bits - 0.01,
        "val.bits_per_byte_high": bits + 0.01,
        "questions.heldout": right,
        "questions.heldout_low": right - 0.05,
        "questions.heldout_high": right + 0.05,
        "val.rows": 8.0,
    }


def _tuned(maker: RunMaker, *steps: str) -> None:
    for step in steps:
        maker.made(f"tune.{step}", {"history.jsonl": [{"step": 1, "loss": 0.7}]}, config={"seed": 1, "train": {"kind": step, "steps": 1}})


def test_every_metric_with_an_interval_is_shown_before_and_after_each_step(maker: RunMaker) -> None:
    _tuned(maker, "sft", "dpo")
    for position, bits, right in (("base", 1.63, 0.2), ("sft", 1.94, 0.5), ("chat", 1.7, 0.625)):
        maker.made(f"evaluate.{position}", {"samples.jsonl": []}, metrics=_measured(bits, right))
    shown = maker.page().sections["tuning"]
    assert "metric base after sft after dpo" in shown
    assert "val.bits_per_byte 1.63 (1.62 to 1.64) 1.94 (1.93 to 1.95) 1.7 (1.69 to 1.71)" in shown
    assert "questions.heldout 20 % (15 % to 25 %) 50 % (45 % to 55 %) 62.5 % (57.5 % to 67.5 %)" in shown
    assert "val.rows" not in shown


def test_without_a_step_there_is_nothing_to_compare(maker: RunMaker) -> None:
    maker.made("evaluate.base", {"samples.jsonl": []}, metrics=_measured(1.6, 0.2))
    assert "tuning" not in maker.page().sections


def test_the_top_says_what_each_step_cost_and_gained_and_leaves_out_what_made_no_model(maker: RunMaker) -> None:
    _tuned(maker, "sft", "reward", "grpo")
    for position, bits, right in (("base", 1.63, 0.2), ("sft", 1.94, 0.5), ("chat", 1.7, 0.625)):
        maker.made(f"evaluate.{position}", {"samples.jsonl": []}, metrics=_measured(bits, right))
    said = maker.page().text
    assert "Step sft cost 0.310 bits per byte and raised right answers from 20 % to 50 %." in said
    assert "Step grpo saved 0.240 bits per byte and raised right answers from 50 % to 62 %." in said
    assert "Step reward" not in said
