"""ONNX graphs: onnxruntime computes the model's logits, of texts of any length, and folio reads the weights back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.evaluation.fidelity import measure_fidelity
from model.evaluation.gate import Bound, FidelityConfig, FidelitySettings
from model.evaluation.tools import open_tool
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.directory import ModelError, save_model
from model.quantization.config import OnnxConfig, quantize, quantizer_of
from tests.model.networks.spread import spread

SHAPE = {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "feed_forward": 64, "context": 64, "initial_std": 0.2}
# Each class of transformers by what makes a decoder one.
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-untied": {"tied_embeddings": False, "attention_bias": True},
    "qwen3": {"qk_norm": True},
    "mistral": {"pattern": "sliding", "window": 8},
    "gpt2": {
        **{"norm": "layer", "positions": "learned", "activation": "gelu_tanh", "kv_heads": 4},
        **{"attention_bias": True, "feed_forward_bias": True},
    },
}


@pytest.fixture
def installed() -> None:
    for name in ("onnx", "onnxruntime", "onnxscript", "transformers"):
        pytest.importorskip(name)


def exporting(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that exports, which takes many seconds with the imports, and needs the extra."""
    marked: Callable[..., None] = pytest.mark.slow(pytest.mark.usefixtures("installed")(test))
    return marked


@exporting
@pytest.mark.parametrize("shape", SHAPES)
def test_onnxruntime_computes_our_logits_and_writes_our_tokens(shape: str, tmp_path: Path) -> None:
    network = spread(DecoderConfig(**{**SHAPE, **SHAPES[shape]}).build(97, seed=3)).eval()
    save_model(network, tmp_path / "model")
    metrics = quantize(tmp_path / "model", tmp_path / "graph", OnnxConfig())
    assert metrics["error_max"] == 0 and metrics["logits_difference"] < 1e-4
    tool, ours = open_tool(tmp_path / "graph", 64, 1), open_model(tmp_path / "graph")
    for length in (1, 2, 13, 64):
        ids = [(7 * place + length) % 97 for place in range(length)]
        with torch.no_grad():
            expected = network.logits({"tokens": torch.tensor([ids])})[0]
        torch.testing.assert_close(torch.from_numpy(tool.logits(ids)), expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(ours.logits({"tokens": torch.tensor([ids])})[0], network.logits({"tokens": torch.tensor([ids])})[0])
    assert len(tool.greedy([5, 6], 12)) == 12
    tool.close()


@exporting
def test_it_is_measured_in_onnxruntime_and_costs_nothing(model_dir: Path, packed: Path, tmp_path: Path) -> None:
    for name in ("graph", "again"):
        quantize(model_dir, tmp_path / name, OnnxConfig())
    config = FidelityConfig(
        settings=FidelitySettings(rows=8, resamples=100, speed_tokens=4), bounds=(Bound(metric="bits_per_byte_ratio", maximum=1.1),)
    )
    metrics = measure_fidelity(model_dir, tmp_path / "graph", packed / "val", tmp_path / "out", config, threads=1)
    assert abs(metrics["kl"]) < 1e-6 and metrics["top1"] > 0.999 and abs(metrics["bits_per_byte_ratio"] - 1) < 1e-5
    assert metrics["passed"] == 1 and metrics["tokens_per_second"] > 0
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["tool"] == "onnxruntime"
    assert quantizer_of(tmp_path / "graph") == OnnxConfig().build()
    graph = (tmp_path / "graph" / "model.onnx").read_bytes()
    assert graph == (tmp_path / "again" / "model.onnx").read_bytes()
    assert b"site-packages" not in graph and str(Path.cwd()).encode() not in graph  # nothing of the machine that wrote it
    with pytest.raises(ModelError, match="quantized already"):
        quantize(tmp_path / "graph", tmp_path / "more", OnnxConfig())
    (tmp_path / "graph" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model\.onnx is not an ONNX graph|lacks"):
        open_model(tmp_path / "graph")


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"positions": "alibi"}, "the graph is that of a class of transformers, and"), ({"norm_place": "post"}, "norm_place=post")],
)
def test_a_model_that_no_class_of_transformers_computes_is_refused_by_name(settings: dict[str, Any], named: str, tmp_path: Path) -> None:
    network = DecoderConfig(**{**SHAPE, **settings}).build(60)
    save_model(network, tmp_path / "model")
    why = OnnxConfig().refusal(network.config, "byte_level_bpe")
    assert named in why and why.endswith("leave the variant out")
    with pytest.raises(ModelError, match="that of a class of transformers"):
        quantize(tmp_path / "model", tmp_path / "graph", OnnxConfig())


@exporting
def test_what_the_card_says_to_type_runs(model_dir: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path / "onnx", OnnxConfig())
    (tmp_path / "tokenizer.json").write_bytes((tokenizer_dir / "tokenizer.json").read_bytes())
    (use,) = OnnxConfig().build().uses("onnx")
    done = subprocess.run([sys.executable, "-c", use.code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("Once upon a time"), done.stderr
