"""Models that transformers made and wrote, as people publish them, are opened here with the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.networks.directory import ModelError, load_model

transformers = pytest.importorskip("transformers")
VOCABULARY = 67
SIZES = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.2},
}
LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "original_max_position_embeddings": 16,
}
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-2": ("LlamaConfig", {**SIZES, "tie_word_embeddings": False}),
    "llama-3": ("LlamaConfig", {**SIZES, "rope_parameters": LLAMA3}),
    "smollm2": ("LlamaConfig", {**SIZES, "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e5}}),
    "qwen3": ("Qwen3Config", {**SIZES, "head_dim": 16, "tie_word_embeddings": True}),
    "mistral": ("MistralConfig", {**SIZES, "sliding_window": 6}),
    "mistral-0.3": ("MistralConfig", {**SIZES, "sliding_window": None, "head_dim": 12}),
    "gpt-2": (
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "initializer_range": 0.2},
    ),
    "smollm3": ("SmolLM3Config", {**SIZES, "pad_token_id": 0, "no_rope_layers": [1, 1], "tie_word_embeddings": True}),
}


def published(name: str, directory: Path, vocabulary: int = VOCABULARY) -> torch.nn.Module:
    """Write a model of random weights, none of them at its initial value, into `directory` and return it."""
    kind, settings = PUBLISHED[name]
    torch.manual_seed(5)
    config = getattr(transformers, kind)(**{**settings, "vocab_size": vocabulary})
    theirs: torch.nn.Module = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.5, 0.5))
    theirs.save_pretrained(directory)  # type: ignore[operator]
    return theirs


def assert_equal_logits(theirs: torch.nn.Module, directory: Path) -> None:
    rows = torch.randint(0, VOCABULARY, (2, 32), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        reference, ours = theirs.float()(rows).logits, load_model(directory).logits({"tokens": rows})
    assert ours.std() > 0.2, "logits this small would agree whatever is computed"
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_gives_the_logits_that_transformers_computes(name: str, tmp_path: Path) -> None:
    assert_equal_logits(published(name, tmp_path), tmp_path)


def test_weights_in_half_precision_and_in_several_files_are_read(tmp_path: Path) -> None:
    theirs = published("qwen3", tmp_path).to(torch.bfloat16)
    (tmp_path / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path, max_shard_size="8KB")  # type: ignore[operator]
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_equal_logits(transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32), tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_in_half_precision_become_the_same_bits_as_if_they_were_widened_first(name: str, tmp_path: Path) -> None:
    published(name, tmp_path)
    half = {key: tensor.to(torch.bfloat16) for key, tensor in load_file(tmp_path / "model.safetensors").items()}
    found = []
    for weights in (half, {key: tensor.float() for key, tensor in half.items()}):
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        found.append(load_model(tmp_path).state_dict())
    assert all(tensor.dtype == torch.float32 and torch.equal(tensor, found[1][key]) for key, tensor in found[0].items())


def test_gpt_2_as_its_makers_wrote_it_lacks_a_prefix_and_holds_its_masks(tmp_path: Path) -> None:
    theirs = published("gpt-2", tmp_path)
    weights = {name.removeprefix("transformer."): tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in range(2)}
    save_file({**weights, **masks}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_equal_logits(theirs, tmp_path)


def test_a_llama_of_older_days_holds_its_wavelengths(tmp_path: Path) -> None:
    theirs = published("llama-2", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    waves = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(4) for layer in range(2)}
    save_file({**weights, **waves}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    fields = json.loads((tmp_path / "config.json").read_text())
    rope = fields.pop("rope_parameters")
    (tmp_path / "config.json").write_text(json.dumps({**fields, "rope_theta": rope["rope_theta"], "rope_scaling": None}))
    assert_equal_logits(theirs, tmp_path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    theirs = published("smollm2", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin there is a pickle"):
        load_model(tmp_path)
