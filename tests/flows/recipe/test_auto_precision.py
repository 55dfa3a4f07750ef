"""`precision: auto` comes to what the machine multiplies in, before anything is keyed or trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.cli.planning import precision_line
from flows.recipe.loading import load
from model.hardware.devices import DEVICES, bf16_products
from model.training.config import MaskedConfig, PretrainConfig, SftConfig
from model.training.precisions import AutoConfig, Bf16Config, Fp16Config, Fp32Config
from tests.model.jobs import JobMaker
from tests.model.jobs import make_job as make_job
from tests.model.jobs import shards as shards

FLAGS = {
    "flags\t\t: fpu avx512f avx512_bf16 sse\n": "the CPU's AVX512-BF16",
    "Features\t: fp asimd bf16 sve\n": "the CPU's BF16",
    "flags\t\t: fpu avx512f avx512_bf16x\n": "",
    "model name\t: with avx512_bf16 in its name\nflags\t\t: fpu\n": "",
}


@pytest.mark.parametrize(("text", "found"), FLAGS.items(), ids=["AMD64", "ARM64", "another flag", "a name"])
def test_instructions_are_read_from_the_flags_of_the_processor(tmp_path: Path, text: str, found: str) -> None:
    processors = tmp_path / "cpuinfo"
    processors.write_text("processor\t: 0\n" + text)
    assert bf16_products(processors) == found
    assert bf16_products(tmp_path / "absent") == ""


def test_it_is_bf16_where_that_is_offered_and_fp32_elsewhere() -> None:
    assert AutoConfig(kind="auto").resolved(DEVICES["h100-sxm"].peaks) == Bf16Config(kind="bf16")
    assert AutoConfig(kind="auto").resolved(DEVICES["t4"].peaks) == Fp32Config(kind="fp32")
    here = Bf16Config(kind="bf16") if bf16_products() else Fp32Config(kind="fp32")
    assert AutoConfig(kind="auto").resolved() == here


def test_any_other_precision_stays_as_it_is_said() -> None:
    chosen = Fp16Config(loss_scale=8.0)
    assert chosen.resolved(()) is chosen
    config = PretrainConfig(precision=chosen)
    assert config.resolved(()) is config


def test_pretraining_asks_for_it_and_tuning_does_not() -> None:
    assert (PretrainConfig().precision.kind, MaskedConfig().precision.kind) == ("auto", "auto")
    assert SftConfig().precision.kind == "fp32"


def test_stages_and_the_card_are_given_what_it_comes_to() -> None:
    here = "bf16" if bf16_products() else "fp32"
    asked = load("universe", ("pretrain.precision=auto", "sft.precision=auto"))
    plain = load("universe", (f"pretrain.precision={here}", f"sft.precision={here}"))
    assert asked.pretraining == plain.pretraining and asked.exporting == plain.exporting
    assert [asked.tuning_by(step) for step in asked.tuning] == [plain.tuning_by(step) for step in plain.tuning]
    assert asked.pretrain.precision.kind == "auto", "the recipe keeps what was written"


def test_a_plan_says_what_it_comes_to() -> None:
    here = "bf16" if bf16_products() else "fp32"
    asked = precision_line(load("classics", ("pretrain.precision=fp32", "sft.precision=auto")))
    assert asked.strip() == f"tune.sft: precision=auto is {here} on this machine"
    assert precision_line(load("classics", ("pretrain.precision=fp32",))) == ""


def test_a_job_is_refused_until_it_is_resolved(make_job: JobMaker) -> None:
    with pytest.raises(ValidationError, match=r"precision=auto is for a recipe; give a job what it comes to"):
        make_job(precision="auto")
