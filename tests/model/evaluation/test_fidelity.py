"""How near a quantized form is to its model, in the tool that it is made for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from data.shards.reader import ShardReader
from model.evaluation.config import EvaluateConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.fidelity import measure_fidelity
from model.evaluation.gate import Bound, FidelityConfig, FidelitySettings
from model.inference.open_model import open_model
from model.networks.decoder import Decoder
from model.quantization.config import GgufConfig, quantize
from model.quantization.integers import Int4Config, Int8Config

BOUNDS = (Bound(metric="bits_per_byte_ratio", maximum=1.1), Bound(metric="kl", maximum=0.2))
SETTINGS = FidelitySettings(rows=32, resamples=100, speed_tokens=4)


def compared(parent: Path, variant: Path, packed: Path, output: Path, **more: Any) -> dict[str, float]:
    config = FidelityConfig(settings=SETTINGS, **{"bounds": BOUNDS, **more})
    return measure_fidelity(parent, variant, packed / "val", output, config, threads=1)


def test_a_form_equal_to_the_model_costs_nothing(model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path / "f32", GgufConfig(type="F32"), tokenizer=tokenizer_dir)
    metrics = compared(model_dir, tmp_path / "f32", packed, tmp_path / "out")
    # llama.cpp keeps keys and values in 16 bits, as its users have it.
    assert abs(metrics["kl"]) < 1e-3 and metrics["top1"] > 0.99 and abs(metrics["bits_per_byte_ratio"] - 1) < 1e-3
    assert metrics["passed"] == 1 and metrics["overruled"] == 0
    assert metrics["tokens_per_second"] > 0 and metrics["memory_bytes"] == pytest.approx(metrics["parent_memory_bytes"], rel=0.01)
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["tool"] == "llama.cpp"


def test_the_figures_are_those_of_the_definitions(
    decoder: Decoder, model_dir: Path, tokenizer_dir: Path, packed: Path, tmp_path: Path
) -> None:
    quantize(model_dir, tmp_path / "int4", Int4Config(group_size=8))
    metrics = compared(model_dir, tmp_path / "int4", packed, tmp_path / "out")
    reader, small = ShardReader(packed / "val"), open_model(tmp_path / "int4")
    assert len(reader) <= SETTINGS.rows
    total = targets = same = 0.0
    for number in range(len(reader)):
        row = reader.rows([number])
        tokens, documents, counted = (torch.from_numpy(row[name].astype("int64"))[0] for name in ("tokens", "document", "loss"))
        read = {"tokens": tokens[None, :-1], "documents": documents[None, :-1]}
        with torch.no_grad():
            p, q = (network.logits(read)[0].double().log_softmax(-1) for network in (decoder, small))
        wanted = counted[1:].bool()
        total += float((p.exp() * (p - q)).sum(-1)[wanted].sum())
        same += float((p.argmax(-1) == q.argmax(-1))[wanted].sum())
        targets += float(wanted.sum())
    assert metrics["targets"] == targets
    assert metrics["kl"] == pytest.approx(total / targets, rel=1e-4) and metrics["top1"] == pytest.approx(same / targets)
    for directory, name in ((model_dir, "parent_bits_per_byte"), (tmp_path / "int4", "bits_per_byte")):
        whole = EvaluateConfig(splits=("val",), rows=None, samples=0, resamples=100)
        theirs = evaluate(directory, tokenizer_dir, packed, None, tmp_path / name, whole, threads=1)
        assert metrics[name] == pytest.approx(theirs["val.bits_per_byte"], rel=1e-5)
    assert metrics["kl_low"] <= metrics["kl"] <= metrics["kl_high"] and math.isfinite(metrics["bits_per_byte_ratio"])


def test_a_form_too_far_from_the_model_fails_and_can_be_overruled(model_dir: Path, packed: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path / "int8", Int8Config())
    strict = (Bound(metric="kl", maximum=0.0),)
    assert compared(model_dir, tmp_path / "int8", packed, tmp_path / "a", bounds=strict)["passed"] == 0
    overruled = compared(model_dir, tmp_path / "int8", packed, tmp_path / "b", bounds=strict, overrule="it is for a demonstration")
    assert overruled["passed"] == 0 and overruled["overruled"] == 1
    assert json.loads((tmp_path / "b" / "verdict.json").read_text())["overruled"] == "it is for a demonstration"


def test_the_same_form_gives_the_same_files(model_dir: Path, packed: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path / "int8", Int8Config())
    for name in ("a", "b"):
        compared(model_dir, tmp_path / "int8", packed, tmp_path / name)
    for file in ("metrics.json", "units.npz", "verdict.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
