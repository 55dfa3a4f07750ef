"""Quantized model directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, save_model
from model.quantization.config import quantize
from model.quantization.integers import INT8_WEIGHTS, Int8Config
from model.quantization.weight_only import SCALE


def test_a_quantized_model_opens_with_weights_within_half_a_step(model_dir: Path, decoder: Decoder, tmp_path: Path) -> None:
    metrics = quantize(model_dir, tmp_path, Int8Config())
    stored = load_file(tmp_path / INT8_WEIGHTS)
    opened = open_model(tmp_path).state_dict()
    assert opened.keys() == decoder.state_dict().keys()
    for name, weight in decoder.state_dict().items():
        if weight.dim() == 1:
            assert opened[name].equal(weight)
            continue
        assert stored[name].dtype == torch.int8
        limit = stored[name + SCALE][:, None] * (0.5 + 1e-4)
        assert bool(((opened[name] - weight).abs() <= limit).all())
    assert 0.49 < metrics["error_max_steps"] <= 0.5001
    assert 0 < metrics["error_relative"] < 0.01
    assert metrics["size_ratio"] < 0.45


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("embeddings", [True, False])
def test_embeddings_and_head_are_quantized_only_when_asked(tied: bool, embeddings: bool, tmp_path: Path) -> None:
    shape = DecoderConfig(width=16, layers=1, heads=2, kv_heads=1, feed_forward=16, context=8, tied_embeddings=tied)
    save_model(Decoder(shape, 40), tmp_path / "model")
    quantize(tmp_path / "model", tmp_path / "int8", Int8Config(embeddings=embeddings))
    stored = load_file(tmp_path / "int8" / INT8_WEIGHTS)
    names = ["model.embed_tokens.weight"] + ([] if tied else ["lm_head.weight"])
    for name in names:
        assert (stored[name].dtype == torch.int8) is embeddings
    assert ("lm_head.weight" in stored) is not tied
    assert open_model(tmp_path / "int8").config == shape


def test_the_same_model_gives_the_same_bytes(model_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize(model_dir, tmp_path / name, Int8Config())
    for file in (INT8_WEIGHTS, "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_quantized_model_is_not_quantized_again(model_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path / "a", Int8Config())
    with pytest.raises(ModelError, match="quantized already"):
        quantize(tmp_path / "a", tmp_path / "b", Int8Config())


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    broken = Decoder(DecoderConfig(width=16, layers=1, heads=2, kv_heads=1, feed_forward=16, context=8), 40)
    with torch.no_grad():
        broken.get_parameter("model.layers.0.mlp.gate_proj.weight")[0, 0] = float("nan")
    save_model(broken, tmp_path / "model")
    with pytest.raises(ValueError, match="gate_proj"):
        quantize(tmp_path / "model", tmp_path / "int8", Int8Config())


def test_an_unknown_format_and_a_missing_file_are_refused(model_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, Int8Config())
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / INT8_WEIGHTS).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="does not exist"):
        open_model(tmp_path)
    fields["quantization"]["format"] = "folio-int3-9"
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match="folio-int3-9"):
        open_model(tmp_path)


def test_transformers_finds_no_weights_in_an_int8_directory(model_dir: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    quantize(model_dir, tmp_path, Int8Config())
    with pytest.raises(OSError):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
