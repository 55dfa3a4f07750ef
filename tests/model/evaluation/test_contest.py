"""Champion and challenger, compared row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.evaluation.intervals import Units, contest, write_units

ROWS = 40


def evaluated(folder: Path, bits: np.ndarray, *, weight: float = 100.0, split: str = "test") -> Path:
    """An evaluation whose rows have these bits per byte."""
    folder.mkdir()
    weights = np.full(len(bits), weight)
    write_units(folder, {f"{split}.bits_per_byte": Units(np.arange(len(bits)), bits * weights, weights)})
    return folder


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    return evaluated(tmp_path / "champion", 2.0 + np.random.default_rng(0).normal(0, 0.5, ROWS))


def shifted(champion: Path, folder: Path, by: float, noise: float = 0.02) -> Path:
    rows = 2.0 + np.random.default_rng(0).normal(0, 0.5, ROWS)
    return evaluated(folder, rows + by + np.random.default_rng(1).normal(0, noise, ROWS))


def test_a_small_gain_on_every_row_is_certain_though_rows_differ_much(champion: Path, tmp_path: Path) -> None:
    found = contest(shifted(champion, tmp_path / "better", -0.03), champion, "test")
    assert found.better and found.words.startswith("better by +0.0")


@pytest.mark.parametrize(("by", "noise"), [(0.0, 0.02), (0.03, 0.02), (-0.01, 0.3)])
def test_what_is_equal_worse_or_within_noise_is_not_better(champion: Path, tmp_path: Path, by: float, noise: float) -> None:
    found = contest(shifted(champion, tmp_path / "other", by, noise), champion, "test")
    assert not found.better and found.words.startswith("not certainly better")


def test_masked_models_measured_on_rows_of_other_text_are_not_compared(tmp_path: Path) -> None:
    folders = {}
    for name, right, rows in (("champion", 1.0, "a"), ("same", 3.0, "a"), ("other", 3.0, "b"), ("unknown", 3.0, "")):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        units = Units(np.arange(ROWS), np.full(ROWS, right), np.full(ROWS, 4.0), rows)
        write_units(folders[name], {"test.masked_accuracy": units})
    assert contest(folders["same"], folders["champion"], "test").better
    assert contest(folders["unknown"], folders["champion"], "test").better, "of units written before nothing more is known"
    found = contest(folders["other"], folders["champion"], "test")
    assert not found.better and "different rows" in found.words


def test_models_measured_on_other_text_are_not_compared(champion: Path, tmp_path: Path) -> None:
    rows = np.full(ROWS, 0.5)
    for folder in (evaluated(tmp_path / "a", rows, weight=90.0), evaluated(tmp_path / "b", rows, split="val")):
        assert not contest(folder, champion, "test").better
