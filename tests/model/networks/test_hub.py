"""Decoders in Hugging Face's format: the class is chosen by what the decoder computes, and computes the same logits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.recipe.shorthands import unused_keys
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, load_model, read_config, save_model
from model.networks.hub.protocol import USUAL, HubClass, HubForm
from model.networks.hub.registry import CLASSES
from tests.model.networks.decoders import VOCABULARY, small_config, spread_decoder, tokens

transformers = pytest.importorskip("transformers")
DECODERS = [one for one in CLASSES if one.CONFIG.endswith(":DecoderConfig")]
EVERY_CLASS = pytest.mark.parametrize("hub", DECODERS, ids=[one.MODEL_TYPE for one in DECODERS])
LATENT = {"latent_width": 16, "latent_rope_width": 8}
CHOICES: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {},
    "Qwen3ForCausalLM": {"qk_norm": True, "head_width": 12, "tied_embeddings": False},
    "MistralForCausalLM": {"pattern": "sliding", "window": 5},
    "SmolLM3ForCausalLM": {"positions": "none", "attention_bias": True},
    "ArceeForCausalLM": {"activation": "gelu"},
    "StableLmForCausalLM": {"norm": "layer"},
    "Starcoder2ForCausalLM": {"norm": "layer", "activation": "gelu", "attention_bias": True},
    "GPT2LMHeadModel": {"norm": "layer", "activation": "gelu", "positions": "learned", "kv_heads": 4},
    "OPTForCausalLM": {"norm": "layer", "norm_place": "post", "activation": "relu", "positions": "learned", "kv_heads": 4},
    "DeepseekV3ForCausalLM": {"attention": "latent", **LATENT, "norm_epsilon": 1e-6},
    "MixtralForCausalLM": {"experts": {"count": 4, "active": 2, "score": "softmax", "balance": {"kind": "loss", "weight": 0.02}}},
    "Qwen3MoeForCausalLM": {
        "qk_norm": True,
        "head_width": 12,
        "experts": {"count": 5, "active": 3, "score": "softmax", "normalize": False, "balance": {"kind": "none"}, "router_loss": 0.001},
    },
    "Glm4MoeForCausalLM": {"experts": {"count": 4, "active": 2, "balance": {"kind": "bias", "rate": 0.02}}, "head_width": 12},
    "VaultGemmaForCausalLM": {"attention_soft_cap": 2.0, "logit_soft_cap": 3.0},
}


def of(config: DecoderConfig) -> HubForm:
    form = config.hub_form()
    assert form is not None
    return form


def write(decoder: Decoder, directory: Path) -> None:
    """Write a decoder as the class that computes it, also where that changes its numbers."""
    from safetensors.torch import save_file

    assert isinstance(decoder.config, DecoderConfig)
    form = of(decoder.config)
    directory.mkdir(exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in form.to_hub(decoder.state_dict()).items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(form.fields(VOCABULARY)))


def assert_same_there_and_back(config: DecoderConfig) -> None:
    """Assert equal logits in transformers, and here when read back from what it saves, with the same config."""
    decoder, rows = spread_decoder(config), tokens(2, config.context)
    with TemporaryDirectory() as folder, torch.no_grad():
        write(decoder, Path(folder) / "ours")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(Path(folder) / "ours", dtype=torch.float32).eval()
        assert type(theirs).__name__ == of(config).hub.NAME
        ours, reference = decoder.logits({"tokens": rows}), theirs(rows).logits
        assert ours.std() > 0.2, "logits this small would agree whatever is computed"
        torch.testing.assert_close(reference, ours, atol=1e-5 * max(1.0, float(ours.std())), rtol=1e-5)
        theirs.save_pretrained(Path(folder) / "theirs")
        assert read_config(Path(folder) / "theirs") == (config, VOCABULARY)
        back = load_model(Path(folder) / "theirs").logits({"tokens": rows})
        torch.testing.assert_close(back, ours, atol=1e-5 * max(1.0, float(ours.std())), rtol=1e-5)


@pytest.mark.parametrize(("name", "choice"), CHOICES.items(), ids=CHOICES.keys())
def test_each_class_is_chosen_by_what_the_decoder_computes_and_computes_the_same(name: str, choice: dict[str, Any]) -> None:
    config = small_config(**choice)
    assert name == of(config).hub.NAME and config.hub_refusal() == ""
    assert_same_there_and_back(config)


@st.composite
def experts_of(draw: st.DrawFn, hub: HubClass[Any] | None) -> dict[str, Any] | None:
    """Draw a mixture of experts that the class computes, or any; or none."""
    if (hub is not None and not hub.EXPERTS) or ((hub is None or hub.DENSE) and draw(st.booleans())):
        return None
    known = {} if hub is None else hub.EXPERTS
    kind = draw(st.sampled_from(known.get("balance", ("bias", "loss", "none"))))
    return {
        "count": draw(st.integers(3, 6)),
        "active": draw(st.integers(2 if known.get("normalize") == (True,) else 1, 2)),
        "shared": draw(st.sampled_from(known.get("shared", (0, 1, 2)))),
        "score": draw(st.sampled_from(known.get("score", ("sigmoid", "softmax")))),
        "normalize": draw(st.sampled_from(known.get("normalize", (True, False)))),
        "scale": draw(st.sampled_from(known.get("scale", (1.0, 2.5)))),
        "balance": {"kind": kind, **({"weight": 0.03} if kind == "loss" else {})},
        "capacity": draw(st.sampled_from((0.0, 1.25))),
    }


@st.composite
def configs(draw: st.DrawFn, hub: HubClass[Any] | None = None) -> DecoderConfig:
    """Draw a decoder that a recipe accepts: one whose settings the class computes, or any."""
    allowed = {**USUAL, **hub.COMPUTES} if hub is not None else {}

    def one(name: str, values: tuple[object, ...]) -> Any:
        given = allowed.get(name, values)
        return draw(st.sampled_from(tuple(value for value in values if value in given) or tuple(given)))

    heads = draw(st.sampled_from((2, 4)))
    options = {
        name: one(name, get_args(field.annotation))
        for name, field in DecoderConfig.model_fields.items()
        if name != "kind" and get_args(field.annotation) and name not in ("inputs", "experts")
    }
    switches = {
        name: one(name, (False, True))
        for name, field in DecoderConfig.model_fields.items()
        if field.annotation is bool and name not in DecoderConfig.INITIAL  # a model with weights of its own has no use for these
    }
    numbers = {
        "heads": heads,
        "kv_heads": draw(st.sampled_from([count for count in (1, 2, 4) if heads % count == 0])),
        "width": one("width", (32, 36, 48)),
        "head_width": one("head_width", (0, 6, 12)),
        "layers": draw(st.integers(1, 2)),
        "feed_forward": draw(st.sampled_from((24, 40))),
        "norm_epsilon": one("norm_epsilon", (1e-5, 1e-6, 1e-3)),
        "dropout": draw(st.sampled_from((0.0, 0.25))),
        "rope_theta": draw(st.sampled_from((50.0, 10_000.0))),
        "rope_original_context": draw(st.sampled_from((0, 16))),
        "window": draw(st.integers(1, 31)),
        "attention_soft_cap": one("attention_soft_cap", (0.0, 1.5)),
        "logit_soft_cap": one("logit_soft_cap", (0.0, 2.0)),
        "experts": draw(experts_of(hub)),
        **LATENT,
    }
    if hub is not None and hub.MODEL_TYPE in ("gpt2", "opt"):
        numbers["kv_heads"] = heads
    try:
        config = small_config(**options, **switches, **numbers)
        while unused := {sentence.partition("=")[0] for sentence in unused_keys(config)}:
            config = small_config(**{name: value for name, value in config if name not in unused})
        return config
    except ValidationError:
        assume(False)
        raise


@EVERY_CLASS
@pytest.mark.parametrize("examples", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_every_decoder_of_a_class_computes_the_same_logits_there(hub: HubClass[Any], examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(configs(hub))
    def law(config: DecoderConfig) -> None:
        assume(config.hub_form() is not None)
        assert_same_there_and_back(config)

    law()


@settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(configs())
def test_a_decoder_has_a_class_or_is_told_which_of_its_settings_each_nearest_one_lacks(config: DecoderConfig) -> None:
    form, refusal = config.hub_form(), config.hub_refusal()
    assert (form is None) == bool(refusal)
    if config.prompt == "bidirectional":
        assert refusal == "each reads prompts causally, not as prompt=bidirectional does"
        return
    for sentence in filter(None, refusal.split("; ")):
        name, _, lacking = sentence.partition(" lacks ")
        assert name in CHOICES and lacking
        for setting in lacking.replace(" with ", ", ").split(", "):
            key, _, value = setting.partition("=")
            held: Any = config
            for part in key.split("."):
                held = getattr(held, part)
            assert str(getattr(held, "kind", held)).lower() == value.lower().replace("null", "none")


def test_a_decoder_that_no_class_computes_is_told_why_by_the_nearest() -> None:
    assert small_config(qk_norm=True, logit_soft_cap=15).hub_refusal() == (
        "Qwen3ForCausalLM lacks logit_soft_cap=15.0; VaultGemmaForCausalLM lacks qk_norm=true"
    )
    grouped = small_config(norm="layer", positions="learned", activation="gelu")
    assert "GPT2LMHeadModel lacks kv_heads=2 with heads=4" in grouped.hub_refusal()


@pytest.mark.parametrize("choice", [{"positions": "alibi"}, {"positions": "relative"}, {"norm": "batch"}], ids=str)
def test_transformers_refuses_a_decoder_that_none_of_its_classes_computes(choice: dict[str, Any], tmp_path: Path) -> None:
    save_model(spread_decoder(small_config(**choice)), tmp_path)
    with pytest.raises(ValueError, match="folio"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(("name", "choice"), CHOICES.items(), ids=CHOICES.keys())
def test_a_directory_of_ours_gives_its_weights_back_bit_by_bit(name: str, choice: dict[str, Any], tmp_path: Path) -> None:
    decoder = spread_decoder(small_config(**choice))
    save_model(decoder, tmp_path)
    back = load_model(tmp_path).state_dict()
    assert isinstance(decoder.config, DecoderConfig)
    assert all(torch.equal(tensor, back[parameter]) for parameter, tensor in decoder.state_dict().items())
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == (
        "folio" if name.startswith("Vault") else of(decoder.config).hub.MODEL_TYPE
    )


@pytest.mark.parametrize(
    ("choice", "fields", "message"),
    [
        ({}, {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10.0, "factor": 2.0}}, "rope_type is 'dynamic'"),
        ({}, {"rope_parameters": {"rope_theta": 10.0, "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({}, {"model_type": "bloom"}, "model_type is 'bloom'"),
        ({}, {"hidden_act": "relu2"}, "hidden_act is 'relu2'"),
        (CHOICES["GPT2LMHeadModel"], {"activation_function": "quick_gelu"}, "activation_function is 'quick_gelu'"),
        ({}, {"quantization_config": {"quant_method": "gptq"}}, "quantization_config says that the weights are in 'gptq'"),
        (CHOICES["Qwen3ForCausalLM"], {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
        (CHOICES["SmolLM3ForCausalLM"], {"no_rope_layers": [1, 0]}, "no_rope_layers is"),
        (CHOICES["Starcoder2ForCausalLM"], {"attention_bias": False}, "_proj.bias is not zero"),
        (CHOICES["Qwen3MoeForCausalLM"], {"mlp_only_layers": [0]}, "mlp_only_layers is [0]"),
        (CHOICES["Glm4MoeForCausalLM"], {"first_k_dense_replace": 1}, "first_k_dense_replace is 1"),
        (CHOICES["Glm4MoeForCausalLM"], {"n_group": 2}, "n_group is 2"),
    ],
)  # fmt: skip
def test_what_a_decoder_does_not_compute_is_refused_with_its_value(
    choice: dict[str, Any], fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_model(spread_decoder(small_config(**choice)), tmp_path, extra=fields)
    with pytest.raises(ModelError, match=re.escape(message)):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{bad", "is not JSON: Expecting property name"),
        (b"\xff", "is not JSON: 'utf-8' codec"),
        (b"[1]", "holds a list, not the fields of a model"),
        (b'{"model_type": "llama", "vocab_size": "many"}', "vocab_size is 'many', not a whole number"),
        (b'{"model_type": "llama"}', "'vocab_size' is missing"),
        (b'{"model_type": "folio", "vocab_size": 9, "decoder": {"width": 0}}', "network that this version has: width=0: Input should be"),
        (b'{"model_type": "folio", "vocab_size": 9, "decoder": {"width": 30, "heads": 4}}', "that this version has: width=30 over heads=4"),
    ],
)
def test_a_config_that_describes_no_network_is_refused_with_what_is_wrong_in_it(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


def test_a_field_out_of_range_is_called_as_its_config_calls_it(tmp_path: Path) -> None:
    save_model(spread_decoder(small_config()), tmp_path, extra={"max_position_embeddings": 0})
    with pytest.raises(ModelError, match="max_position_embeddings=0: Input should be greater than or equal to"):
        load_model(tmp_path)


def test_heads_may_have_any_width_and_one_way_to_say_the_usual_one() -> None:
    assert small_config(head_width=8) == small_config() and small_config(head_width=12).head_dim == 12
    assert small_config(width=36, heads=8, head_width=6).head_dim == 6
    with pytest.raises(ValueError, match="head_width=5 and positions=rope"):
        small_config(head_width=5)
