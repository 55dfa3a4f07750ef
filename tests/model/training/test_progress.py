"""The launcher reads the progress that a running job writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.training.telemetry.progress import ProgressReader, ProgressWriter


@pytest.mark.parametrize("devices", [0, 4])
def test_every_line_says_how_many_accelerators_are_in_use(tmp_path: Path, devices: int) -> None:
    writer = ProgressWriter(tmp_path / "progress.jsonl", steps=2, tokens_at=lambda step: 8 * step, devices=devices)
    writer.note(0, "training")
    writer.step(1, {"loss": 2.0}, {})
    writer.step(2, {"loss": 1.0}, {})
    written = ProgressReader(tmp_path / "progress.jsonl").new()
    assert [progress.devices for progress in written] == [devices] * len(written)
    assert [progress.step for progress in written] == [0, 1, 2]
