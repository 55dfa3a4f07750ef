"""TF32 is refused by name where no card has it."""

from __future__ import annotations

import pytest
import torch

from model.training.job import JobError
from model.training.precision import use_tf32
from model.training.resources import TrainResources


def test_tf32_without_a_card_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tf32(TrainResources())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(JobError, match="tf32=true needs an NVIDIA card, and this machine has none; set tf32=false"):
        use_tf32(TrainResources(tf32=True))
