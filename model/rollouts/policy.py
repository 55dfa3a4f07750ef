"""What a source of rows needs of the model that is being trained; the trainer hands it over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from model.inference.config import SamplingConfig
from model.inference.generation import Completion

if TYPE_CHECKING:
    from torch import Tensor


class Policy(Protocol):
    """The current model, on all workers. Every method is a collective: every worker calls it."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one worker that writes."""
        ...

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> list[Completion]:
        """Return a completion of each prompt, in order, on every worker; each follows from its prompt and seed, up to rounding."""
        ...

    def cached(self, batches: Iterable[tuple[Sequence[int], Mapping[str, Tensor]]], rows: int, columns: int) -> NDArray[Any]:
        """Return what the objective's `cache` says of all rows, fp64 [rows, columns], on every worker.

        `batches`: this worker's, each with its rows' numbers; equally many on every worker. No numbers: computed, not kept.
        """
        ...

    def wait(self) -> None:
        """Wait until all workers have come here."""
        ...
