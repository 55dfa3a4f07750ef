"""Whether a model, a training configuration and a layout of workers fit together: asked by the recipe and by the job.

Each misfit is a sentence that names the keys, their values and the way out. Cheap to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model.networks.config import DecoderConfig

if TYPE_CHECKING:
    from model.training.config import TrainConfig, TrainResources
    from model.training.parallel.config import ParallelConfig

WHOLE_MATRICES = ("muon", "adafactor")  # optimizers that see a weight as the matrix it is


def incompatibilities(
    decoder: DecoderConfig, train: TrainConfig, resources: TrainResources, *, section: str = "", shape: str = "", spread: str = ""
) -> Iterator[str]:
    """What does not fit; `section`, `shape` and `spread` go before the names of the keys of each."""
    parallel = resources.parallel
    key, least = ("batch_warmup_from" if train.batch_warmup_steps else "global_batch"), train.smallest_batch
    share, rest = divmod(least, parallel.data_workers)
    if rest:
        cut = "".join(f" / {name}={count}" for name in ("tensor", "pipeline") if (count := getattr(parallel, name)) > 1)
        yield (
            f"{section}{key}={least} does not divide among {spread}workers={parallel.workers}{cut}; choose a multiple of "
            f"{parallel.data_workers}"
        )
        return
    if decoder.norm == "batch":
        yield from _whole_batches(train, resources, section, shape, spread)
    if train.optimizer in WHOLE_MATRICES:
        yield from _whole_matrices(train.optimizer, parallel, section, spread)
    if parallel.tensor > 1:
        yield from _cut(decoder, parallel.tensor, shape, spread)
        if train.precision == "fp8":
            yield f"{section}precision=fp8 with {spread}tensor={parallel.tensor} is not offered; use bf16, or tensor=1"
    if parallel.pipeline > 1:
        yield from _staged(decoder, train, resources, share, section, shape, spread)


def _whole_batches(train: TrainConfig, resources: TrainResources, section: str, shape: str, spread: str) -> Iterator[str]:
    """Batch norm sees the whole batch at once, or what it learns would depend on how it was cut."""
    if resources.parallel.workers > 1:
        yield f"{shape}norm=batch with {spread}workers={resources.parallel.workers}: each would see its own; use one, or another norm"
    if 0 < resources.micro_batch < train.global_batch:
        yield (
            f"{shape}norm=batch with micro_batch={resources.micro_batch}: each micro-batch of {section}global_batch={train.global_batch} "
            "would see its own statistics; set micro_batch=0, or another norm"
        )
    if train.batch_warmup_steps:
        yield f"{shape}norm=batch with {section}batch_warmup_steps={train.batch_warmup_steps}: a batch can't be cut; set 0, or another norm"
    if resources.recompute != "none":
        yield f"{shape}norm=batch with recompute={resources.recompute}: its statistics would be taken twice; set recompute=none"


def _whole_matrices(optimizer: str, parallel: ParallelConfig, section: str, spread: str) -> Iterator[str]:
    for name, value, plain in (("zero_stage", parallel.zero_stage, 0), ("tensor", parallel.tensor, 1), ("pipeline", parallel.pipeline, 1)):
        if value != plain:
            yield (
                f"{section}optimizer={optimizer} works on whole matrices, which {spread}{name}={value} cuts or spreads; set "
                f"{spread}{name}={plain}, or another optimizer"
            )


def _cut(decoder: DecoderConfig, tensor: int, shape: str, spread: str) -> Iterator[str]:
    for name in ("heads", "kv_heads", "feed_forward"):
        count = getattr(decoder, name)
        if count % tensor:
            yield f"{shape}{name}={count} does not divide among {spread}tensor={tensor}; choose a multiple, or a divisor of it for tensor"
    if kept := _changed(decoder, {"attention": "grouped", "attention_bias": False, "feed_forward_bias": False}):
        yield f"{shape}{kept} with {spread}tensor={tensor}: only plain matrices are cut; use tensor=1, or its default"
    if decoder.positions in ("alibi", "relative"):
        yield f"{shape}positions={decoder.positions} with {spread}tensor={tensor}: its numbers for each head aren't cut; use tensor=1"


def _changed(config: DecoderConfig | TrainConfig | TrainResources, plain: dict[str, object]) -> str:
    """The first key that is not as `plain` has it, with its value; empty: all are."""
    return next((f"{name}={getattr(config, name)}" for name, value in plain.items() if getattr(config, name) != value), "")


def _staged(
    decoder: DecoderConfig, train: TrainConfig, resources: TrainResources, share: int, section: str, shape: str, spread: str
) -> Iterator[str]:
    stages = resources.parallel.pipeline
    if decoder.layers < stages:
        yield f"{shape}layers={decoder.layers} with {spread}pipeline={stages}: each stage needs a block; use fewer stages"
    if decoder.positions in ("learned", "relative") or decoder.norm == "batch":
        what = f"positions={decoder.positions}" if decoder.norm != "batch" else "norm=batch"
        yield f"{shape}{what} with {spread}pipeline={stages}: what it keeps belongs to no one stage; use pipeline=1"
    if kept := _changed(train, {"ema_decay": 0.0, "batch_warmup_steps": 0}) or (train.optimizer == "sophia" and "optimizer=sophia"):
        yield f"{section}{kept} with {spread}pipeline={stages} is not offered; use pipeline=1, or its default"
    if train.precision in ("fp16", "fp8"):
        yield f"{section}precision={train.precision} with {spread}pipeline={stages} is not offered; use bf16, or pipeline=1"
    if kept := _changed(resources, {"recompute": "none", "compile": False}):
        yield f"{kept} with {spread}pipeline={stages} is not offered; use pipeline=1, or its default"
    if copied := getattr(train, "copy_rows", 0):
        yield f"{section}copy_rows={copied} with {spread}pipeline={stages}: only a whole model recites; use pipeline=1, or copy_rows=0"
    if getattr(train, "objective", "") == "dpo":
        yield f"{section}objective=dpo with {spread}pipeline={stages}: it asks a whole reference model; use pipeline=1"
    if copied := getattr(train, "copy_rows", 0):
        yield f"{section}copy_rows={copied} with {spread}pipeline={stages} is not offered; use pipeline=1, or copy_rows=0"
    if share < stages:
        yield (
            f"{section}global_batch={train.global_batch} gives each pipeline {share} sequences, fewer than {spread}pipeline="
            f"{stages} stages, so that some would always wait; choose at least {stages * resources.parallel.data_workers}"
        )
