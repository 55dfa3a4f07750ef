"""What only a card can do is refused by name where there is none, and handed to its libraries where there is one."""

from __future__ import annotations

import pytest
import torch

from model.training.job import JobError
from model.training.launch.commands import commands
from model.training.precision import use_deterministic, use_tf32
from model.training.resources import TrainResources
from tests.model.jobs import JobMaker


def test_tf32_without_a_card_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tf32(TrainResources())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(JobError, match="tf32=true needs an NVIDIA card, and this machine has none; set tf32=false"):
        use_tf32(TrainResources(tf32=True))


def test_deterministic_sums_without_a_card_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    use_deterministic(TrainResources())
    assert not torch.are_deterministic_algorithms_enabled()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(JobError, match="a CPU gives the same bytes without it: set deterministic=false"):
        use_deterministic(TrainResources(deterministic=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_deterministic_sums_have_a_workspace_of_fixed_size_in_every_worker(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    for asked in (True, False):
        job = make_job(f"{asked}", {"deterministic": asked, "workers": workers})
        for command in commands(job, job.output / "job.json"):
            assert ("CUBLAS_WORKSPACE_CONFIG" in command.environment) == asked
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        use_deterministic(TrainResources(deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
