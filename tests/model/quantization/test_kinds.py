"""What every kind that rounds matrices into folio's own files promises, whichever it is."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel, TypeAdapter, ValidationError

from model.inference.open_model import open_model
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, save_model
from model.quantization.config import KINDS, VariantConfig, quantize, quantizer_of
from model.quantization.integers import Int4Config, Int8Config

ROOT = Path(__file__).resolve().parents[3]
ROUNDING = (Int8Config, Int4Config)
CONFIGS = [kind.from_entry({"group_size": 16, "embeddings": False}) for kind in ROUNDING] + [
    kind.from_entry({"group_size": 64, "embeddings": True}) for kind in ROUNDING
]
COST = {"int8": 0.02, "int4": 0.15}  # largest share of the logits' spread that rounding may cost on average
every_config = pytest.mark.parametrize("config", CONFIGS, ids=str)


def kind_of(config: object) -> str:
    """Return the tag of a kind."""
    assert isinstance(config, BaseModel)
    return str(config.model_dump()["kind"])


@every_config
def test_a_directory_opens_with_logits_close_to_the_original(config: VariantConfig, tmp_path: Path) -> None:
    shape = DecoderConfig(width=64, layers=2, heads=4, kv_heads=2, feed_forward=128, context=64)
    decoder = Decoder(shape, 330, seed=1).eval()
    save_model(decoder, tmp_path / "model")
    metrics = quantize(tmp_path / "model", tmp_path / "variant", config)
    row = torch.arange(40)[None] * 7 % 330
    with torch.no_grad():
        exact, near = decoder.logits({"tokens": row}), open_model(tmp_path / "variant").logits({"tokens": row})
    assert 0 < float((exact - near).abs().mean()) < COST[kind_of(config)] * float(exact.std())
    assert 0 < metrics["error_max_steps"] <= 0.5 + 1e-4
    assert metrics["bytes_after"] < metrics["bytes_before"] == (tmp_path / "model" / "model.safetensors").stat().st_size


@every_config
def test_the_same_model_gives_the_same_bytes_under_any_name(config: VariantConfig, model_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantize(model_dir, tmp_path / name, config.model_copy(update={"name": name}))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(["config.json", *config.build().files])
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@every_config
def test_a_directory_says_which_settings_wrote_it(config: VariantConfig, model_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, config)
    assert quantizer_of(tmp_path) == config.build()
    assert quantizer_of(model_dir) is None
    assert "folio" in config.build().opened_by


@every_config
def test_damage_is_refused_by_name(config: VariantConfig, model_dir: Path, tmp_path: Path) -> None:
    quantize(model_dir, tmp_path, config)
    with pytest.raises(ModelError, match="quantized already"):
        quantize(tmp_path, tmp_path / "again", config)
    (weights,) = config.build().files
    (tmp_path / weights).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=f"{weights} does not exist"):
        open_model(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    fields["quantization"]["format"] = "folio-int3-9"
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match=r"folio-int3-9.*folio-int8-1, folio-int4-1"):
        open_model(tmp_path)


@every_config
def test_transformers_finds_no_weights_to_misread(config: VariantConfig, model_dir: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    quantize(model_dir, tmp_path, config)
    with pytest.raises(OSError):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)


def test_int4_takes_less_than_a_fifth_of_the_bytes(tmp_path: Path) -> None:
    shape = DecoderConfig(width=128, layers=2, heads=4, kv_heads=2, feed_forward=384, context=32)
    save_model(Decoder(shape, 512), tmp_path / "model")
    int8, int4 = (quantize(tmp_path / "model", tmp_path / kind_of(config), config)["size_ratio"] for config in CONFIGS[2:])
    assert int4 < 0.15 < int8 < 0.27


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"int8\.group_size\n.*Extra inputs are not permitted"):
        TypeAdapter(VariantConfig).validate_python({"kind": "int8", "group_size": 32})


def test_no_source_compares_a_value_with_the_name_of_a_kind() -> None:
    """A new kind is found by the protocol, not by asking for it."""
    kinds = {kind.model_fields["kind"].default for kind in KINDS.values() if issubclass(kind, BaseModel)}
    assert len(kinds) == len(KINDS)
    asking = []
    for room in ("flows", "tasks", "model", "data"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare | ast.MatchValue):
                    constants = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                    asking += [f"{path.relative_to(ROOT)}:{node.lineno}"] if constants & kinds else []
    assert not asking
