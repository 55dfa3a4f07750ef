"""The module that DeepSpeed's engine wraps: a network with its objective, computed in the chosen precision."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Literal, cast

from torch import Tensor, nn

from model.networks.network import Network
from model.objectives.protocol import POLICY, Cacheable, Objective, Surveys
from model.training.job import JobError
from model.training.precision import autocast
from model.training.precisions import PrecisionBase

Purpose = Literal["sums", "drawn", "logits", "cache", "survey"]


class TrainModule(nn.Module):
    """A network with its objective; the forward pass returns the objective's sums."""

    def __init__(
        self, network: Network, objective: Objective, precision: PrecisionBase, frozen: Mapping[str, Network] | None = None
    ) -> None:
        """`frozen`: the models that the objective needs besides the policy, by name."""
        super().__init__()
        precision.prepare(network)
        self.network = network
        self.objective = objective
        self.products = precision.PRODUCTS
        # The tuple keeps the frozen models from becoming submodules, so they are not trained, partitioned or saved.
        self._frozen = (dict(frozen or {}),)

    @property
    def models(self) -> dict[str, Network]:
        """The policy, which is trained, and the frozen models, by name."""
        return {POLICY: self.network, **self._frozen[0]}

    def forward(self, batch: Mapping[str, Tensor], purpose: Purpose = "sums") -> Tensor:
        """Return the objective's sums; `drawn`: with targets sampled from the policy itself; `logits`: the policy's logits_BTV, in fp32;
        `cache` and `survey`: what the objective's methods of these names return.

        All that the policy computes passes through here, where ZeRO 3 gathers weights that are read outside the module that owns them.
        """
        if purpose == "logits":
            return self.network.logits(batch)
        device_type = next(iter(batch.values())).device.type
        with autocast(device_type, self.products, keep=not self.network.recompute):
            if purpose == "drawn":
                batch = self.objective.drawn(self.models, batch)  # type: ignore[attr-defined]  # the config refuses objectives without it
            if purpose == "cache":
                return cast(Cacheable, self.objective).cache(self.models, batch)
            if purpose == "survey":
                return cast(Surveys, self.objective).survey(self.models, batch)
            return self.objective.sums(self.models, batch)


def require_compiler() -> None:
    """Raise JobError if there is no C++ compiler for torch.compile."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if not any(map(shutil.which, wanted)):
        names = " or ".join(wanted)
        raise JobError(
            f"resources.training.compile=true needs a C++ compiler, but {names} was not found; install one, or set compile=false"
        )
