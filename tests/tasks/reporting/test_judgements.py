"""The report says what people judged, how far they agree beside what the gate asks for, and how models rate by it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from data.judgements.config import JudgementConfig
from data.judgements.examples import write_judged
from data.judgements.journal import append
from tasks.reporting.summary import RunSummary
from tests.data.judgements.judging import judged, prefers
from tests.tasks.reporting.example_run import HOSTILE, RunMaker

BOUND = ("judgements.preference_alpha", "0.2", ">= 0.6", "-0.4", "FAILED: is out of bounds")


def judge(maker: RunMaker, folder: Path) -> None:
    """Have three judges, one of whom says the opposite, judge ten pairs, and one judge an answer."""
    for number in range(10):
        for name in ("ada", "bob", "cyd"):
            append(folder, prefers("blue" if name == "cyd" else "red", f"What is {number}?", name))
    append(folder, judged("label", "Who?", ("Nobody.",), judge=HOSTILE, good=False))
    output = folder / "output"
    output.mkdir()
    metrics = write_judged(folder, output, JudgementConfig(name="people", folder="."), digests(folder))
    maker.made("judgements", {path.name: path.read_bytes() for path in output.iterdir()}, metrics=metrics)


def digests(folder: Path) -> dict[str, str]:
    """The state of a journal, as the stage observes it."""
    return {f"people/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jsonl")}


def test_counts_agreement_with_its_bound_judges_and_ratings_are_shown(maker: RunMaker, tmp_path: Path) -> None:
    judge(maker, tmp_path)
    maker.gate("corpus", BOUND)
    page = maker.page()
    text = page.sections["judgements"]
    assert "31 lines by 4 judges on 11 questions" in text and "10 preference pairs, 1 labelled answer and 0 conversations" in text
    assert "the better answer" in text and ">= 0.6" in text and "FAILED" in text
    assert "small" in text and "large" in text and "+" in text and "outvoted" in text
    assert "ada-" in text and "cyd-" in text


def test_without_a_gate_the_table_says_that_nothing_is_asked_and_without_judgements_there_is_no_section(
    maker: RunMaker, tmp_path: Path
) -> None:
    assert "judgements" not in maker.page().sections
    judge(maker, tmp_path)
    assert "no gate asks for it" in maker.page().sections["judgements"]
    assert RunSummary.of(maker.run).results.metrics("judgements")["outvoted"] == 10


@pytest.mark.parametrize("metrics", [{}, {"lines": 0.0}])
def test_a_run_in_which_nobody_judged_has_no_section(maker: RunMaker, metrics: dict[str, float]) -> None:
    maker.made("judgements", metrics=metrics)
    assert "judgements" not in maker.page().sections
