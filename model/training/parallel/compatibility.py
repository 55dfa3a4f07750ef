"""Whether a model, a training configuration and a layout of workers can be combined; checked by the recipe and by the job.

Each problem is a sentence that names the keys, their values and what to do. Cheap to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model.networks.base import Layout, NetworkBase

if TYPE_CHECKING:
    from model.training.optimizers.config import OptimizerBase
    from model.training.resources import ParallelConfig, TrainResources
    from model.training.train_config import TrainConfig


def incompatibilities(
    network: NetworkBase,
    train: TrainConfig,
    resources: TrainResources,
    *,
    section: str = "",
    shape: str = "",
    spread: str = "",
    row_length: int = 0,
) -> Iterator[str]:
    """Yield what can't be combined; `section`, `shape` and `spread` prefix the keys of train, network and parallel.

    `row_length`: tokens of a row; 0: the network's context.
    """
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
    yield from _warm_up(train, row_length or network.context, section)
    yield from network.layout_problems(layout_of(train, resources, section, shape, spread))
    yield from _abilities(network, train, resources, section, shape)
    yield from train.network_problems(network, section, shape)
    yield from _adapter(train, parallel, section, spread)
    if network.whole_batch and train.COMPARES:
        yield (
            f"{shape}norm=batch with {section}kind={train.kind}: two models are compared, and the trained one would be normalized by its "
            "batch, the other by running statistics; use another norm, or another kind"
        )
    if network.whole_batch and train.adapter.KEEPS_BASE:
        yield f"{section}adapter.kind={train.adapter.kind} with {shape}norm=batch: training changes its statistics; use adapter.kind=full"
    yield from _experts(network, train, resources, section, shape)
    yield from _heads(network, train, section, shape)
    yield from _matrix_optimizer(train.optimizer, parallel, section, spread)
    for key in train.optimizer.unused(network):
        value = getattr(train.optimizer, key)
        yield f"{section}optimizer.{key}={value} does nothing: this network has no such parameters; leave it out"
    if parallel.tensor > 1 and "tensor" not in train.precision.SUPPORTS:
        yield f"{section}precision={train.precision.kind} with {spread}tensor={parallel.tensor} is not offered; use bf16, or tensor=1"
    if parallel.pipeline > 1:
        yield from _pipeline(train, resources, share, section, spread)


def _warm_up(train: TrainConfig, context: int, section: str) -> Iterator[str]:
    """Yield what is wrong with a warm-up longer than the run. A kind's default is never wrong: a short run cuts it."""
    steps = train.total_steps(context)
    for key, what in (("warmup_steps", "the learning rate"), ("batch_warmup_steps", "the batch")):
        if (rise := getattr(train, key)) > steps and rise != type(train).model_fields[key].default:
            length = f"steps={steps}" if train.steps else f"the {steps} steps of tokens={train.tokens}"
            yield f"{section}{key}={rise} is longer than {length}, so {what} never gets to its peak; lower it, or train longer"


def layout_of(train: TrainConfig, resources: TrainResources, section: str, shape: str, spread: str) -> Layout:
    """Return how a training would be laid out, with the prefixes of its keys."""
    parallel = resources.parallel
    return Layout(
        workers=parallel.workers,
        tensor=parallel.tensor,
        pipeline=parallel.pipeline,
        micro_batch=resources.micro_batch,
        global_batch=train.global_batch,
        batch_warmup_steps=train.batch_warmup_steps,
        recompute=resources.recompute,
        zero_stage=parallel.zero_stage,
        section=section,
        shape=shape,
        spread=spread,
    )


def _abilities(network: NetworkBase, train: TrainConfig, resources: TrainResources, section: str, shape: str) -> Iterator[str]:
    """A kind of training teaches what only some networks can do."""
    kind = f"{shape}kind={network.kind}"
    for ability in sorted(train.REQUIRES - network.SUPPORTS):
        yield f"{section}kind={train.kind} needs a network that supports {ability}, and {kind} does not; choose another kind of one of them"
    if network.reads_prompts and not train.TEACHES_PROMPTS:
        yield (
            f"{section}kind={train.kind} with {shape}prompt=bidirectional: its rows do not say what is a prompt, so the network would not "
            f"learn to read one; only kind=prefix, of pretraining, teaches it; use that, or {shape}prompt=causal"
        )
    if train.masks_documents and "packed" not in network.SUPPORTS:
        yield f"{section}within_documents=true with {kind}: it can't keep the documents of a row apart; set within_documents=false"
    if resources.sample_every and "generation" not in network.SUPPORTS:
        yield f"sample_every={resources.sample_every} with {kind}, which writes no text; set sample_every=0"


def _adapter(train: TrainConfig, parallel: ParallelConfig, section: str, spread: str) -> Iterator[str]:
    adapter = train.adapter
    supported, chosen = adapter.supports(), f"{section}adapter.kind={adapter.kind}"
    for feature, used, what, way in (
        ("tensor", parallel.tensor > 1, f"{spread}tensor={parallel.tensor}", f"{spread}tensor=1"),
        ("pipeline", parallel.pipeline > 1, f"{spread}pipeline={parallel.pipeline}", f"{spread}pipeline=1"),
        ("zero_3", parallel.zero_stage == 3, f"{spread}zero_stage=3", f"{spread}zero_stage 0 to 2"),
        ("fp8", train.precision.EIGHT_BITS, f"{section}precision={train.precision.kind}", f"{section}precision=bf16"),
    ):
        if used and feature not in supported:
            yield f"{chosen} with {what} is not offered; use {way}, or another adapter"
    if train.HEADS and adapter.KEEPS_BASE:
        yield f"{chosen} with {section}kind={train.kind}, which trains a head besides, is not offered; use adapter.kind=full"
    if train.HEADS and parallel.tensor > 1:
        yield f"{section}kind={train.kind} with {spread}tensor={parallel.tensor} is not offered; use tensor=1"
    if train.COMPARES and (share := adapter.drops):
        yield f"{chosen} with dropout={share} in kind={train.kind}, which drops nothing: set {section}adapter.dropout=0"
    for package in adapter.missing():
        yield f"{chosen} needs {package}: pip install -e '.[adapters]', or use adapter.kind=full"


def _experts(network: NetworkBase, train: TrainConfig, resources: TrainResources, section: str, shape: str) -> Iterator[str]:
    """Sizes of an expert's products follow from the data, and they are computed in tiles of their own."""
    if not network.mixes_experts:
        return
    if resources.compile:
        yield f"compile=true with {shape}experts: how many tokens an expert gets is known only as it computes; set compile=false"
    if train.precision.EIGHT_BITS:
        yield f"{section}precision={train.precision.kind} with {shape}experts: their products are not offered in it; use precision=bf16"


def _heads(network: NetworkBase, train: TrainConfig, section: str, shape: str) -> Iterator[str]:
    """A weight of heads that predict further ahead, which says something only where they are trained."""
    if "multi_token_weight" not in type(train).model_fields or train.ahead_weight == type(train).model_fields["multi_token_weight"].default:
        return
    weight = f"{section}multi_token_weight={train.ahead_weight}"
    if not network.heads_ahead:
        yield f"{weight} does nothing: the model has no heads that predict further ahead; set {shape}multi_token, or leave it out"
    elif train.adapter.KEEPS_BASE:
        yield f"{weight} with {section}adapter.kind={train.adapter.kind}, which trains no heads: leave it out, or use adapter.kind=full"


def _matrix_optimizer(optimizer: OptimizerBase, parallel: ParallelConfig, section: str, spread: str) -> Iterator[str]:
    for division, name, divides, plain in (
        ("zero", "zero_stage", parallel.zero_stage > 0, 0),
        ("nvme", "offload_optimizer", parallel.offload_optimizer == "nvme", "cpu"),
        ("tensor", "tensor", parallel.tensor > 1, 1),
        ("pipeline", "pipeline", parallel.pipeline > 1, 1),
    ):
        if divides and division in optimizer.NEEDS_WHOLE:
            yield (
                f"{section}optimizer={optimizer.kind} needs whole matrices, which {spread}{name}={getattr(parallel, name)} divides; set "
                f"{spread}{name}={plain}, or use another optimizer"
            )


def _first_changed(config: TrainConfig | TrainResources, plain: dict[str, object]) -> str:
    """Return the first key whose value differs from `plain`, with that value; empty if none does."""
    return next((f"{name}={getattr(config, name)}" for name, value in plain.items() if getattr(config, name) != value), "")


def _pipeline(train: TrainConfig, resources: TrainResources, share: int, section: str, spread: str) -> Iterator[str]:
    stages = resources.parallel.pipeline
    if changed := _first_changed(train, {"ema_decay": 0.0, "batch_warmup_steps": 0}) or (
        train.optimizer.DRAWS_TARGETS and f"optimizer={train.optimizer.kind}"
    ):
        yield f"{section}{changed} with {spread}pipeline={stages} is not offered; use pipeline=1, or its default"
    if "pipeline" not in train.precision.SUPPORTS:
        yield f"{section}precision={train.precision.kind} with {spread}pipeline={stages} is not offered; use bf16, or pipeline=1"
    if changed := _first_changed(resources, {"recompute": "none", "compile": False}):
        yield f"{changed} with {spread}pipeline={stages} is not offered; use pipeline=1, or its default"
    if passages := getattr(train, "copy_rows", 0):
        yield f"{section}copy_rows={passages} with {spread}pipeline={stages} needs a whole model; use pipeline=1, or copy_rows=0"
    if train.replay_share:
        yield f"{section}replay={train.replay_share} with {spread}pipeline={stages} needs a whole model; use pipeline=1, or replay=0"
    elif not train.FROM_LOGITS:
        what = f"a whole {train.MODELS[0]} model" if train.MODELS else "a whole model"
        yield f"{section}kind={train.kind} with {spread}pipeline={stages}: it needs {what}; use pipeline=1"
    if share < stages:
        yield (
            f"{section}global_batch={train.global_batch} gives each pipeline {share} sequences, fewer than the {spread}pipeline="
            f"{stages} stages, so some stages would always idle; choose at least {stages * resources.parallel.data_workers}"
        )
