"""Counts of a network that a plan needs are made once, and anew where what they depend on changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model.hardware.flops import training_flops
from model.networks.config import DecoderConfig
from tasks.forecast import counts

SHAPE = DecoderConfig(width=32, layers=2, heads=2, kv_heads=1, feed_forward=64, context=16)
ASK = """
import sys
from model.networks.config import DecoderConfig
from tasks.forecast import counts
print(counts.training_operations(DecoderConfig.model_validate_json(sys.argv[1]), 50), "torch" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "folio" / "counts"


def test_a_second_command_gets_the_same_count_without_loading_torch(folder: Path) -> None:
    said = [
        subprocess.run([sys.executable, "-c", ASK, SHAPE.model_dump_json()], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert said == [[repr(training_flops(SHAPE, 50)), "True"], [repr(training_flops(SHAPE, 50)), "False"]]


def test_another_shape_vocabulary_question_or_source_is_counted_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts.parameters(SHAPE, 50)
    counts.parameters(SHAPE.model_copy(update={"layers": 3}), 50)
    counts.parameters(SHAPE, 51)
    counts.training_operations(SHAPE, 50)
    assert len(list(folder.iterdir())) == 4
    monkeypatch.setattr(counts, "_source_digest", lambda: "of an edited layer")
    counts.parameters(SHAPE, 50)
    assert len(list(folder.iterdir())) == 5


def test_a_damaged_count_is_made_again_and_a_folder_that_cannot_be_written_costs_time_alone(folder: Path) -> None:
    wanted = counts.parameters(SHAPE, 50)
    (file,) = folder.iterdir()
    for damaged in ("12x", "", "nan", "inf", "-3"):
        file.write_text(damaged)
        assert counts.parameters(SHAPE, 50) == wanted == float(file.read_text())
    file.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    assert counts.parameters(SHAPE, 50) == wanted
