"""The format compressed-tensors, in folio and in transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.shards.reader import ShardReader
from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.directory import ModelError, load_model, save_model
from model.quantization.compressed.config import AwqConfig, Fp8Config, GptqConfig, W8a8Config
from model.quantization.config import quantize, quantizer_of
from tests.model.networks.spread import spread

SHAPE = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "feed_forward": 96, "context": 64, "initial_std": 0.08}
# Each kind with the largest standard deviation of its logits' error, as a share of the logits' own.
KINDS: dict[str, tuple[Any, float]] = {
    "gptq": (GptqConfig(group_size=16, samples=16), 0.25),
    "awq": (AwqConfig(group_size=16, samples=16), 0.25),
    "w8a8": (W8a8Config(), 0.03),
    "fp8": (Fp8Config(), 0.15),
}


@pytest.mark.slow  # importing the library takes half a minute
@pytest.mark.parametrize("hub", ["llama", "qwen3"])
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_opens_it_and_computes_what_folio_reads(
    kind: str, hub: str, tokenizer_dir: Path, packed: Path, tmp_path: Path
) -> None:
    pytest.importorskip("llmcompressor")
    from transformers import AutoModelForCausalLM

    config, most = KINDS[kind]
    network = spread(DecoderConfig(**{**SHAPE, "qk_norm": hub == "qwen3"}).build(320, seed=3)).eval()
    save_model(network, tmp_path / "model")
    for name in ("small", "again"):
        metrics = quantize(tmp_path / "model", tmp_path / name, config, packed / "train", tokenizer_dir)
    tokens = torch.from_numpy(ShardReader(packed / "val").rows([0, 1])["tokens"][:, :-1].astype("int64"))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "small", local_files_only=True).eval()
    with torch.no_grad():
        there, stored, parent = theirs(tokens).logits, *(n.logits({"tokens": tokens}) for n in (open_model(tmp_path / "small"), network))
    if config.CALIBRATES:
        torch.testing.assert_close(there, stored, rtol=1e-4, atol=1e-4)
    else:  # transformers rounds the inputs of matrices as well
        assert 0 < float((there - stored).std()) < most * float(parent.std())
    assert 0 < float((there - parent).std()) < most * float(parent.std())
    assert metrics["bytes_after"] < metrics["bytes_before"] and metrics["bits_per_weight"] < 32
    files = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert files == sorted([*config.build().files, "config.json"])
    assert all((tmp_path / "small" / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert quantizer_of(tmp_path / "small") == config.build()
    if config.CALIBRATES:
        recorded = json.loads((tmp_path / "small" / "calibration.json").read_text())
        assert recorded["split"] == "train" and len(recorded["rows"]) == metrics["calibration_rows"] > 8


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (GptqConfig(group_size=32), {"width": 72}, "group_size=32 does not divide width=72"),
        (W8a8Config(), {"norm": "layer", "positions": "learned", "activation": "gelu", "kv_heads": 4}, "GPT2LMHeadModel"),
        (AwqConfig(group_size=16), {"norm": "layer"}, "StableLmForCausalLM"),
        (Fp8Config(), {"positions": "alibi"}, "no class of transformers"),
    ],
    ids=str,
)
def test_what_the_library_does_not_take_is_refused_by_name(
    config: GptqConfig | W8a8Config | AwqConfig | Fp8Config, settings: dict[str, Any], named: str, tmp_path: Path
) -> None:
    network = DecoderConfig(**{**SHAPE, **settings}).build(60)
    save_model(network, tmp_path / "model")
    assert named in config.refusal(network.config, "byte_level_bpe")
    with pytest.raises(ModelError, match=named):
        quantize(tmp_path / "model", tmp_path / "small", config)


def test_quantized_weights_that_are_not_ours_are_still_refused(model_dir: Path, tmp_path: Path) -> None:
    for path in model_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(ModelError, match="take the model in full precision"):
        load_model(tmp_path)
