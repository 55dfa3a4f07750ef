"""The comparison of cards with a CPU is run here with workers of the CPU in place of cards: the same launches over gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks.contest import Table
from tests.benchmarks.pretrain_gpu_equal import Case, compare


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
@pytest.mark.parametrize("part", ["gpu", "gpu-equal"])
def test_without_a_card_it_says_so_and_fails(part: str) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.pretrain", "--part", part]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode != 0 and f"--part {part}: torch sees no CUDA device here" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_workers_over_gloo_learn_what_one_learns(tmp_path: Path, workers: int, stage: int) -> None:
    table = Table()
    case = Case(f"{workers} workers, ZeRO {stage}", workers, "fp32", {"threads": 1, "parallel": {"workers": workers, "zero_stage": stage}})
    compare(table, tmp_path, [case, case._replace(name="more than there are", workers=99)], cards=workers)
    assert table.missed == ["more than there are"]
