"""Tensor parallelism trains what one process trains, for every shape that is admitted to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from model.networks.decoder import Decoder
from model.networks.decoder_config import DecoderConfig
from model.networks.layout import Layout
from model.training.job import Job
from model.training.parallel.compile import deepspeed_config
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker

from .alone import train_here, train_together

# Of each choice that a shape has: every value, or two that differ.
CHOICES: dict[str, tuple[Any, ...]] = {
    "positions": ("rope", "learned", "sinusoidal", "none", "alibi", "relative"),
    "norm": ("rms", "layer", "batch"),
    "norm_place": ("pre", "post"),
    "activation": ("swiglu", "geglu", "relu", "gelu", "silu"),
    "pattern": ("full", "sliding", "block_sparse"),
    "attention": ("grouped", "latent"),
    "kv_heads": (2, 4),
    "qk_norm": (True, False),
    "attention_soft_cap": (0.0, 2.0),
    "logit_soft_cap": (0.0, 2.0),
    "tied_embeddings": (True, False),
    "attention_bias": (False, True),
    "feed_forward_bias": (False, True),
}
FIXED = {"window": 5, "block": 3, "initial_std": 0.2}
TWO = Layout(workers=2, tensor=2, pipeline=1, micro_batch=2, global_batch=8, batch_warmup_steps=0, recompute="none")
Choice = tuple[str, Any]


def admitted(**choices: Any) -> DecoderConfig | None:
    """The shape with these choices; None if it can't be built, or is refused with two tensor-parallel workers."""
    try:
        shape = DecoderConfig.model_validate({**SHAPE.model_dump(), **FIXED, **choices})
    except ValidationError:
        return None
    return None if any(shape.layout_problems(TWO)) else shape


def covering_shapes() -> Iterator[DecoderConfig]:
    """Admitted shapes in which any two admitted values of two choices occur together at least once."""
    values = {name: [value for value in given if admitted(**{name: value})] for name, given in CHOICES.items()}
    pairs = {
        ((one, left), (other, right))
        for one, other in combinations(values, 2)
        for left, right in product(values[one], values[other])
        if admitted(**{one: left, other: right})
    }
    while pairs:
        chosen: dict[str, Any] = dict(min(pairs, key=repr))
        for name in values:
            if name not in chosen:
                fitting = [value for value in values[name] if admitted(**{**chosen, name: value})]
                chosen[name] = max(fitting, key=lambda value, name=name: len(pairs & pairs_of({**chosen, name: value})))
        pairs -= pairs_of(chosen)
        shape = admitted(**chosen)
        assert shape is not None
        yield shape


def pairs_of(chosen: dict[str, Any]) -> set[tuple[Choice, Choice]]:
    ordered = [(name, chosen[name]) for name in CHOICES if name in chosen]
    return set(combinations(ordered, 2))


def with_shape(job: Job, shape: DecoderConfig) -> Job:
    return job.model_copy(update={"network": shape})


def losses(job: Job) -> list[float]:
    return [line["loss"] for line in read_lines(job.output / "history.jsonl")]


def curve(job: Job) -> list[float]:
    return [*losses(job), *(line["grad_norm"] for line in read_lines(job.output / "history.jsonl"))]


def test_every_choice_but_those_with_parameters_per_head_or_biases_is_admitted() -> None:
    refused = {(name, value) for name, given in CHOICES.items() for value in given if admitted(**{name: value}) is None}
    assert refused == {
        ("positions", "alibi"),
        ("positions", "relative"),
        ("norm", "batch"),
        ("attention", "latent"),
        ("attention_bias", True),
        ("feed_forward_bias", True),
    }


def test_gradients_of_gains_within_heads_are_summed_and_matrices_of_blocks_are_cut(make_job: JobMaker) -> None:
    decoder = Decoder(SHAPE.model_copy(update={"qk_norm": True}), VOCABULARY)
    specs = deepspeed_config(make_job(resources={"workers": 2, "tensor": 2, "zero_stage": 1}), decoder.cut_plan())
    found: dict[str, set[str]] = {}
    for name, role in decoder.roles().items():
        for spec in specs["tensor_parallel"]["partition_config"]["layer_specs"]:
            if any(re.match(pattern, name) for pattern in spec["patterns"]):
                found.setdefault(f"{spec['partition_type']} {role}", set()).add(name.split(".")[-2])
    assert found == {
        "column matrix": {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"},
        "row matrix": {"o_proj", "down_proj"},
        "skip vector": {"q_norm", "k_norm"},
    }


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_two_tensor_parallel_workers_learn_what_one_process_learns_in_every_admitted_shape(
    make_job: JobMaker, tmp_path: Path, zero_stage: int
) -> None:
    for shape, alone, cut in trained(make_job, tmp_path, zero_stage, "fp32"):
        assert curve(cut) == pytest.approx(curve(alone), abs=1e-3), shape
        whole, joined = (load_file(job.output / "model.safetensors") for job in (alone, cut))
        assert whole.keys() == joined.keys()
        for name, tensor in whole.items():
            apart = float((joined[name] - tensor).abs().max())
            assert apart < 1e-3, f"{name} of {shape}"


@pytest.mark.slow
def test_in_bf16_their_losses_differ_by_rounding(make_job: JobMaker, tmp_path: Path) -> None:
    for shape, alone, cut in trained(make_job, tmp_path, 1, "bf16"):
        assert losses(cut)[0] == pytest.approx(losses(alone)[0], abs=5e-3), shape
        assert losses(cut) == pytest.approx(losses(alone), abs=3e-2), shape  # each step adds to what rounding began


def trained(make_job: JobMaker, folder: Path, zero_stage: int, precision: str) -> Iterator[tuple[DecoderConfig, Job, Job]]:
    """Each shape, with a job of one process and one of two workers that have learned it."""
    shapes = [*covering_shapes()]
    layout = {"workers": 2, "tensor": 2, "zero_stage": zero_stage, "micro_batch": 2}
    cut = [with_shape(make_job(f"cut{number}", layout, precision=precision), shape) for number, shape in enumerate(shapes)]
    train_together([(job, None) for job in cut], folder)
    for number, shape in enumerate(shapes):
        alone = with_shape(make_job(f"alone{number}", {"micro_batch": 2}, precision=precision), shape)
        train_here(alone)
        assert losses(alone)[-1] < losses(alone)[0] - 0.1, f"nothing was learned by {shape}"
        yield shape, alone, cut[number]
