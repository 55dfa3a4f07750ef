"""Whether a model, a training configuration and a layout of workers fit together: asked by the recipe and by the job.

Each misfit is a sentence that names the keys, their values and the way out. Cheap to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model.architecture.config import DecoderConfig

if TYPE_CHECKING:
    from model.training.config import TrainConfig, TrainResources


def misfits(
    decoder: DecoderConfig, train: TrainConfig, resources: TrainResources, *, section: str = "", shape: str = "", spread: str = ""
) -> Iterator[str]:
    """What does not fit; `section`, `shape` and `spread` go before the names of the keys of each."""
    parallel = resources.parallel
    share, rest = divmod(train.global_batch, parallel.data_workers)
    if rest:
        cut = "".join(f" / {name}={count}" for name in ("tensor", "pipeline") if (count := getattr(parallel, name)) > 1)
        yield (
            f"{section}global_batch={train.global_batch} does not divide among {spread}workers={parallel.workers}{cut}; choose a multiple "
            f"of {parallel.data_workers}"
        )
        return
    yield from _cut(decoder, parallel.tensor, shape, spread)
    if parallel.pipeline > 1:
        yield from _staged(decoder, train, resources, share, section, shape, spread)


def _cut(decoder: DecoderConfig, tensor: int, shape: str, spread: str) -> Iterator[str]:
    for name in ("heads", "kv_heads", "feed_forward"):
        count = getattr(decoder, name)
        if count % tensor:
            yield f"{shape}{name}={count} does not divide among {spread}tensor={tensor}; choose a multiple, or a divisor of it for tensor"


def _staged(
    decoder: DecoderConfig, train: TrainConfig, resources: TrainResources, share: int, section: str, shape: str, spread: str
) -> Iterator[str]:
    stages = resources.parallel.pipeline
    if decoder.layers < stages:
        yield f"{shape}layers={decoder.layers} with {spread}pipeline={stages}: each stage needs a block; use fewer stages"
    if getattr(train, "objective", "") == "dpo":
        yield f"{section}objective=dpo with {spread}pipeline={stages}: it asks a whole reference model; use pipeline=1"
    if share < stages:
        yield (
            f"{section}global_batch={train.global_batch} gives each pipeline {share} sequences, fewer than {spread}pipeline="
            f"{stages} stages, so that some would always wait; choose at least {stages * resources.parallel.data_workers}"
        )
    elif resources.micro_batch and share // resources.micro_batch < stages:
        yield (
            f"micro_batch={resources.micro_batch} cuts the {share} sequences of a pipeline into {share // resources.micro_batch}, fewer "
            f"than {spread}pipeline={stages} stages, so that some would always wait; choose at most {share // stages}, or 0"
        )
