"""Which shapes are admitted to tensor parallelism, what of them is cut, and that in bf16 they learn what one process learns.

In fp32 `test_combinations` holds admitted shapes against one process.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model.networks.decoder import Decoder
from model.training.job import Job
from model.training.parallel.compile import deepspeed_config
from model.training.precisions import Bf16Config
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker

from .alone import train_here, train_together
from .combinations import Combination, Space, layouts

PLAIN = {"layout": layouts()[0]}
CUT = {"layout": {**layouts()[0], "workers": 2, "tensor": 2, "zero_stage": 1}}


def losses(job: Job) -> list[float]:
    return [line["loss"] for line in read_lines(job.output / "history.jsonl")]


def test_every_choice_of_a_shape_is_admitted_but_those_with_parameters_per_head_or_biases(make_job: JobMaker) -> None:
    space = Space("decoder", make_job())

    def accepted(combination: Combination, layout: Combination) -> bool:
        return space.job_of({**layout, **combination}, "asked") is not None

    shape = [(key, value) for key, values in space.choices.items() for value in values if key.startswith("model.")]
    refused = {(key, str(value)) for key, value in shape if accepted({key: value}, PLAIN) and not accepted({key: value}, CUT)}
    assert refused == {
        ("model.positions", "alibi"),
        ("model.positions", "relative"),
        ("model.norm", "batch"),
        ("model.attention", "latent"),
        ("model.attention_bias", "True"),
        ("model.feed_forward_bias", "True"),
        *{("model.experts", str(value)) for value in space.choices["model.experts"] if value is not None},
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
def test_in_bf16_their_losses_differ_by_rounding(make_job: JobMaker, tmp_path: Path) -> None:
    space = Space("decoder", make_job())
    pairs = []
    for number, row in enumerate(space.drawn(1, 8, **CUT, optimizer="adamw")):
        jobs = (space.job_of({**row, **layout}, f"{name}{number}") for name, layout in (("alone", PLAIN), ("cut", CUT)))
        alone, cut = (in_bf16(job) for job in jobs if job is not None)
        train_here(alone)
        pairs.append((alone, cut))
    train_together([(cut, None) for _, cut in pairs], tmp_path)
    for alone, cut in pairs:
        assert losses(cut)[0] == pytest.approx(losses(alone)[0], abs=5e-3), cut.network
        assert losses(cut) == pytest.approx(losses(alone), abs=3e-2), cut.network  # each step adds to what rounding began


def in_bf16(job: Job) -> Job:
    return job.model_copy(update={"train": job.train.model_copy(update={"precision": Bf16Config(kind="bf16")})})
