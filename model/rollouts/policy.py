"""What rollouts need of the model that is being trained; the trainer hands it to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from model.inference.config import SamplingConfig
from model.inference.generation import Completion


class Policy(Protocol):
    """The model as it is now, on all workers. Both methods are collectives: every worker calls them."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one worker that writes."""
        ...

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> list[Completion]:
        """Return a completion of each prompt, in order, on every worker; each follows from its prompt and seed, up to rounding."""
        ...

    def wait(self) -> None:
        """Wait until all workers have come here."""
        ...
