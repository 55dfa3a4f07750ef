"""The interface between the trainer and an objective.

An objective sums; the trainer divides. Every micro-batch on every worker returns the SUM of each of its terms, and the trainer divides each
by the units (tokens, pairs, sequences) of the whole global batch. A mean of means would weigh a token by how few others share its
micro-batch, and would change with the number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network

Rows = Mapping[str, NDArray[Any]]
POLICY, REFERENCE, JUDGE = "policy", "reference", "reward"  # models: trained, as before training, and what scores replies
LOSS = "loss"
SLOT, BEGINS = "slot", "begins"  # columns of rows: see `Objective.batch`, and the token that begins a text
IGNORED = -100  # cross_entropy's default for a target that does not count


class Term(NamedTuple):
    """A sum that an objective returns: what it is divided by, and its weight in the loss; weight 0 is only reported.

    optional: a step may have none of its units, and then learns from the others.
    """

    name: str
    unit: str
    weight: float = 0.0
    optional: bool = False


class Objective(Protocol):
    """A loss that is a weighted sum of terms, each a sum over units.

    The step log holds `loss`, the whole, and the mean of each term by its name; a term that is the loss alone is called `loss`.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """Kinds of shards that it reads."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Frozen models that it needs besides the policy, such as the reference: the model before training."""
        ...

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, in the order of `sums`."""
        ...

    def units(self, rows: Rows) -> dict[str, float]:
        """Count the units in these rows, by name."""
        ...

    def globals(self, rows: Rows) -> dict[str, float]:
        """Sum statistics over these rows, a worker's part of a step, that `sums` needs over the whole global batch.

        The trainer adds them over workers and puts them into each `batch` as 0-dimensional fp32 tensors under their names.
        """
        ...

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Turn rows of the shards into the arrays that `sums` takes; columns that hold only padding are cut off.

        `rows["position"]` (int64 [B]) is each row's place in the order of rows: randomness that follows from the seed and it alone is
        the same on any number of workers. `rows["slot"]` (int64 [B]) counts them within their step, or among the validation rows.
        """
        ...

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return each term's sum, fp32 [len(terms)], differentiable where its weight is not 0; `models["policy"]` is trained."""
        ...


@runtime_checkable
class FromLogits(Objective, Protocol):
    """An objective whose sums depend only on the policy's logits and the targets, so a pipeline's last stage can compute them."""

    def sums_of(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        """As `sums`."""
        ...


@runtime_checkable
class Surveys(Objective, Protocol):
    """An objective whose sums need a statistic of its models' outputs over the global batch, which takes two passes."""

    @property
    def surveyed(self) -> tuple[str, ...]:
        """Names of the statistics, which the trainer adds over all micro-batches and workers and puts into each batch; empty: none."""
        ...

    def survey(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return this batch's part of the statistics, fp32 [len(surveyed), *shape]; computed without gradients."""
        ...


class Cacheable(Objective, Protocol):
    """An objective that can take what its reference says from columns of its rows instead of from a model."""

    @property
    def cacheable(self) -> tuple[str, ...]:
        """The names of those columns, in the order of `cache`."""
        ...

    def cache(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the columns, fp32 [rows, len(cacheable)], computed by the models before the policy trains."""
        ...


def surveyed(objective: Objective) -> tuple[str, ...]:
    """Return the names of the statistics that an objective needs of the whole global batch; most need none."""
    return objective.surveyed if isinstance(objective, Surveys) else ()


def unit_names(objective: Objective) -> tuple[str, ...]:
    """Return the names of the units that the terms are divided by, each once."""
    return tuple(dict.fromkeys(term.unit for term in objective.terms))


def mean_loss(objective: Objective, sums: Tensor, units: Mapping[str, float]) -> Tensor:
    """Return the loss: each term's sum over its units, times its weight; a 0-dimensional tensor."""
    total: Tensor | None = None
    for place, term in enumerate(objective.terms):
        if term.weight:
            part = sums[place] / (units[term.unit] or (1.0 if term.optional else 0.0))
            part = part if term.weight == 1 else part * term.weight
            total = part if total is None else total + part
    assert total is not None, f"{type(objective).__name__} has no term with a weight, so there is nothing to learn"
    return total


def term_means(objective: Objective, sums: Sequence[float], units: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of each term by its name, and `loss`, their weighted sum, first; terms without any unit are left out."""
    means = {term.name: value / units[term.unit] for term, value in zip(objective.terms, sums, strict=True) if units[term.unit]}
    if LOSS in means or not any(term.weight and term.name in means for term in objective.terms):
        return means
    return {LOSS: sum(term.weight * means.get(term.name, 0.0) for term in objective.terms if term.weight), **means}


def as_int64(array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert to the type that torch indexes with; no copy if it has that type."""
    return array.astype(np.int64, copy=False)
