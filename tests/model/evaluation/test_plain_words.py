"""The words about a model follow its figures: what is bad is called bad, and advice follows what would help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.evaluation.intervals import Units, write_units
from model.evaluation.plain_words import Standing, passes_over
from model.evaluation.relations import UNITS
from model.training.telemetry.step_log import validation_curve

BASELINE = {"ngram.val.bits_per_byte": 2.0, "chance.questions.heldout": 0.5, "train.rows": 100.0, "val.documents_in_train": 0.0}
FLAT = [(20, 3.0), (60, 2.0), (80, 2.0), (100, 2.0)]


def measured(bits: float, right: float | None = None, **others: float) -> dict[str, float]:
    found = {"val.bits_per_byte": bits, "val.bits_per_byte_low": bits - 0.05, "val.bits_per_byte_high": bits + 0.05, **others}
    if right is not None:
        found |= {"questions.heldout": right, "questions.heldout_low": right - 0.05, "questions.heldout_count": 120.0}
    return found


def words(**facts: Any) -> str:
    return " ".join(Standing(**{"baseline": BASELINE, **facts}).sentences())


@pytest.mark.parametrize(
    ("bits", "said"), [(1.5, "25 % better than counting"), (1.97, "no better than counting does"), (2.5, "25 % WORSE than counting")]
)
def test_a_model_is_compared_with_counting(bits: float, said: str) -> None:
    assert said in words(tuned=measured(bits))


def test_a_model_that_is_a_count_itself_is_not_compared_with_counting() -> None:
    said = words(tuned=measured(2.0), baseline={**BASELINE, "unigram.val.bits_per_byte": 3.0}, counted=True)
    assert "2.00 bits for each byte; of others, a model of single tokens 3.00. It is itself a table of the runs of tokens" in said
    assert "counting does" not in said and "enough for a network to beat counting" in said
    packed = words(tuned=measured(2.0), baseline={**BASELINE, "zstd_after_train.val.bits_per_byte": 2.5}, counted=True)
    assert "2.50. It predicts 20 % better than zstd. It is itself" in packed


def test_what_rows_in_common_make_certain_is_said_as_the_gate_says_it(tmp_path: Path) -> None:
    drawing = np.random.default_rng(1)
    hard, size = drawing.uniform(1, 3, 200), np.full(200, 256.0)

    def measure(name: str, metric: str, bits: Any) -> Path:
        (tmp_path / name).mkdir()
        write_units(tmp_path / name, {metric: Units(np.arange(200), bits * size, size)})
        return tmp_path / name / UNITS

    counted = measure("counted", "ngram.val.bits_per_byte", hard)
    ahead = measure("ahead", "val.bits_per_byte", hard * 0.98 + drawing.normal(0, 0.01, 200))
    level = measure("level", "val.bits_per_byte", hard + drawing.normal(0, 0.1, 200))
    said = [words(tuned=measured(1.96), rows=(file, counted)) for file in (ahead, level, counted)]
    assert "2.0 % better than counting" in said[0], "although the interval of the model alone holds what counting needs"
    assert "no better than counting does" in said[1]
    assert "no better than counting does" in said[2], "the units have none of a model"


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (0.97, "97 % of 120 questions about what no example told it; guessing gets 50 %"),
        (0.52, "no more than guessing"),
        (0.06, "far fewer"),
    ],
)
def test_answers_are_compared_with_guessing(right: float, said: str) -> None:
    assert said in words(tuned=measured(1.5, right))


def test_where_nothing_was_held_out_the_figures_are_said_to_mean_little() -> None:
    said = words(tuned=measured(0.2), baseline={**BASELINE, "val.documents_in_train": 4.0})
    assert "No text was held out" in said and "better than counting" not in said


def test_what_tuning_cost_and_gained_is_said() -> None:
    assert "Tuning cost 0.310 bits per byte and raised right answers from 10 % to 60 %." in words(
        base=measured(1.63, 0.1), tuned=measured(1.94, 0.6)
    )
    assert "Tuning" not in words(base=measured(1.63), tuned=measured(1.631))
    assert "Tuning" not in words(base=measured(1.63, 0.9925), tuned=measured(1.631, 0.9851)), "both are 99 %"


def test_each_of_several_steps_is_told_what_it_cost_and_gained() -> None:
    after = measured(1.94, 0.6)
    said = words(base=measured(1.63, 0.1), tuned=after, steps=[("sft", after), ("dpo", after)])
    assert "Step sft cost 0.310 bits per byte and raised right answers from 10 % to 60 %." in said
    assert "Step dpo changed nothing that was measured" in said


def test_tuning_that_undid_pretraining_is_called_so_and_the_advice_is_to_tune_gently() -> None:
    base, tuned = {"train.bits_per_byte": 0.171}, {"train.bits_per_byte": 2.279}
    said = words(base=base, tuned=tuned, baseline={"val.documents_in_train": 4.0})
    assert "of text that it was trained on, which takes 13 TIMES as many as before (0.171, then 2.28)." in said
    assert "gentler tuning" in said and "more text" not in said


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"curve": [(50, 2.0), (80, 1.8), (100, 2.1)]}, "fewer passes over it: validation was best at step 80"),
        ({"curve": FLAT, "passes": 12.0, "read": 1.0}, "more text: it predicts what it has read 50 % better"),
        ({"curve": [(60, 3.0), (80, 2.5), (100, 2.2)], "passes": 2.0}, "is more training: validation loss still fell by 12 %"),
        ({"curve": [(60, 3.0), (80, 2.5), (100, 2.2)], "passes": 6.0}, "more text and more training"),
        ({"curve": FLAT, "passes": 2.0}, "a larger model"),
    ],
)
def test_the_advice_follows_the_gap_the_curve_and_the_passes(facts: dict[str, Any], said: str) -> None:
    read = facts.pop("read", 1.95)
    assert said in words(base=measured(2.0, **{"train.bits_per_byte": read}), **facts)


def test_a_card_is_told_whether_validation_text_was_learned_from() -> None:
    shared: tuple[dict[str, float], ...] = (BASELINE, {**BASELINE, "val.documents_in_train": 4.0}, {})
    assert [Standing(baseline=found).card_facts()["held_out"] for found in shared] == [True, False, None]


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert Standing().sentences() == Standing().since() == []


def test_the_model_before_is_compared_with() -> None:
    said = " ".join(Standing(tuned=measured(1.5, 0.9), previous=measured(1.8, 0.7)).since())
    assert "better than the model that this recipe made before: 1.50 bits per byte, then 1.80" in said and "answered 70 %" in said
    assert "as well as" in " ".join(Standing(tuned=measured(1.5), previous=measured(1.501)).since())


def test_a_change_within_the_noise_of_both_is_not_called_better() -> None:
    def wide(bits: float, right: float) -> dict[str, float]:
        found = measured(bits, right)
        return found | {f"{name}{end}": found[name] + by for name in found for end, by in (("_low", -0.3), ("_high", 0.3))}

    said = " ".join(Standing(tuned=wide(1.5, 0.6), previous=wide(1.8, 0.5)).since())
    assert "as well as" in said and "answered 50 %, which chance could do" in said
    assert "better than" in " ".join(Standing(tuned=wide(1.5, 0.6), previous=wide(2.5, 0.5)).since())


def test_the_curve_is_read_from_the_step_log(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0, "val_loss": 2.5}\n')
    assert validation_curve(tmp_path / "history.jsonl") == [(2, 2.5)]
    assert (passes_over(250, BASELINE), passes_over(250, {})) == (2.5, 0.0)
