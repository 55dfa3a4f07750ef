"""The module that DeepSpeed's engine wraps: a decoder with its objective, computed in the chosen precision."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from model.networks.decoder import Decoder
from model.objectives.dpo import Dpo
from model.objectives.next_token import IGNORED, NextToken
from model.objectives.objective import Objective
from model.objectives.sft import Sft
from model.training.config import ObjectiveConfig
from model.training.float8 import require_float8, use_float8
from model.training.job import JobError
from model.training.precision import AUTOCAST


class TrainModule(nn.Module):
    """A decoder with its objective; the forward pass returns the objective's sums."""

    def __init__(self, decoder: Decoder, objective: Objective, precision: str, reference: Decoder | None) -> None:
        super().__init__()
        if precision == "fp8":
            require_float8()
            use_float8(decoder)
        self.decoder = decoder
        self.objective = objective
        self.precision = precision
        # Inside a tuple the reference is not a submodule: it is not trained, partitioned or saved.
        self._reference = (reference,)

    def forward(self, batch: Mapping[str, Tensor], drawn: bool = False) -> tuple[Tensor, Tensor]:
        """Return the objective's sums; `drawn`: with targets sampled from the model itself."""
        device_type = next(iter(batch.values())).device.type
        with torch.autocast(device_type, AUTOCAST.get(self.precision), enabled=self.precision in AUTOCAST):
            if drawn:
                batch = drawn_targets(self.decoder, batch)
            return self.objective.sums(self.decoder, batch, self._reference[0])


def build_objective(config: ObjectiveConfig) -> Objective:
    """Return the objective that a training configuration names."""
    if config.objective == "dpo":
        return Dpo(beta=config.beta)
    kind = NextToken if config.objective == "next_token" else Sft
    return kind(within_documents=config.within_documents)


def drawn_targets(decoder: Decoder, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the batch of a next-token objective with each counted target sampled from the model's own probabilities."""
    targets_BT = batch["targets"]
    with torch.no_grad():
        logits_BTV = decoder(batch["tokens"], documents_BT=batch.get("documents"))
        drawn_N = torch.multinomial(logits_BTV.float().softmax(-1).flatten(0, 1), 1)
    return {**batch, "targets": torch.where(targets_BT == IGNORED, IGNORED, drawn_N.view_as(targets_BT))}


def dropout_seed(seed: int, update: int, rank: int) -> int:
    """Return the random seed for one worker's update, so that a resumed run draws what an undisturbed one does."""
    return int(np.random.SeedSequence([seed, update, rank]).generate_state(1, np.uint64)[0] >> 1)


def require_compiler() -> None:
    """Raise JobError if there is no C++ compiler for torch.compile."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if not any(map(shutil.which, wanted)):
        names = " or ".join(wanted)
        raise JobError(
            f"resources.training.compile=true needs a C++ compiler, but {names} was not found; install one, or set compile=false"
        )
