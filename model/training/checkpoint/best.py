"""The weights of the best validation loss, kept beside the checkpoints until the run ends.

Guarantee: a run that goes on from any checkpoint that is still there finds the best weights of before it.
Cost: one copy of the weights on the disk for each measurement that is a new best and not forgotten yet, written in the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.directory import write_atomically
from model.training.checkpoint.record import Latest

if TYPE_CHECKING:
    from torch import Tensor


def write_best(directory: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights of a step."""
    from safetensors.torch import save

    write_atomically(_path(directory, step), save({name: tensor.contiguous() for name, tensor in weights.items()}))


def read_best(directory: Path, step: int) -> dict[str, Tensor]:
    """The weights kept of a step, by parameter name."""
    from safetensors.torch import load_file

    return load_file(_path(directory, step))


def forget_best(directory: Path) -> None:
    """Remove what none of the checkpoints goes on from, and nothing that is newer than the one in force."""
    latest = Latest.read(directory)
    records = [Latest.read(folder) for folder in directory.glob("step-*")]
    needed = {record.best_step for record in records if record}
    for path in directory.glob("best-*.safetensors"):
        step = int(path.stem.removeprefix("best-"))
        if latest and step < latest.step and step not in needed:
            path.unlink()


def _path(directory: Path, step: int) -> Path:
    return directory / f"best-{step:09d}.safetensors"
