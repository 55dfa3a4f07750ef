"""Skills as metrics: shares, baselines and gains over the same items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.evaluation.config import EvaluateConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.intervals import read_units
from model.evaluation.skills.measure import Attempt, read_items, score

WORD = {"skill": "format", "question": "One word?", "check": {"rule": "word", "answers": ["heron"]}, "baseline": "heron", "heldout": True}
REFUSE = {"rule": "declines", "phrases": ["will not"], "wanted": False}
ITEMS = [WORD, {**WORD, "baseline": "goat", "heldout": False}, {**WORD, "skill": "decline", "check": REFUSE, "question": "Who walked?"}]


def written(folder: Path, items: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "skills_test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def tried(right: bool, guessed: bool, heldout: bool = True) -> Attempt:
    return Attempt(skill="format", question="?", reply="", right=right, asked=True, baseline="", baseline_right=guessed, heldout=heldout)


def test_a_skill_is_compared_with_its_baseline_item_by_item() -> None:
    attempts = [tried(True, False)] * 60 + [tried(True, True)] * 20 + [tried(False, True, heldout=False)] * 20
    metrics, units = score(attempts, resamples=500, confidence=0.95, seed=0)
    assert metrics["skills.format"] == 0.8 and metrics["skills.format.baseline"] == 0.4
    assert metrics["skills.format.gain"] == pytest.approx(0.4) and metrics["skills.format_count"] == 100
    assert metrics["skills.format.heldout"] == 1.0
    # Of differences that are 1, 0 and -1 in 60, 20 and 20 of 100 items the standard error is 0.08.
    assert metrics["skills.format.gain_low"] == pytest.approx(0.4 - 1.96 * 0.08, abs=0.03)
    assert units["skills.format"].value.sum() == 80 and len(units["skills.format"].unit) == 100


def test_evaluation_writes_every_attempt_and_its_metrics(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(splits=("val",), rows=4, resamples=100, skills=True, skill_tokens=4, samples=1)
    metrics = evaluate(model_dir, tokenizer_dir, packed, written(tmp_path / "examples", ITEMS), tmp_path / "out", config, threads=1)
    attempts = [json.loads(line) for line in (tmp_path / "out" / "attempts.jsonl").read_text().splitlines()]
    assert [attempt["skill"] for attempt in attempts] == ["format", "format", "decline"]
    assert metrics["skills.format_count"] == 2 and metrics["skills.format.baseline"] == 0.5
    assert {"skills.format", "skills.decline"} <= set(read_units(tmp_path / "out"))
    assert {"format", "decline"} <= {json.loads(line).get("set") for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()}


def test_missing_items_and_lines_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"skills_test.jsonl does not exist: skills=true needs test items; list them in examples.skills"):
        read_items(tmp_path / "skills_test.jsonl")
    folder = written(tmp_path / "examples", [WORD, {name: value for name, value in WORD.items() if name != "check"}])
    with pytest.raises(ValueError, match="line 2 lacks check, so it is not a test item"):
        read_items(folder / "skills_test.jsonl")
