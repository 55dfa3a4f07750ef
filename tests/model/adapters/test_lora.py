"""Low-rank adaptation against its formula in plain torch, and against peft on the same weights, ours and Hugging Face's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.adapters.lora import LoraAdapter, LoraConfig
from model.adapters.opening import Reference
from model.adapters.protocol import AdapterError
from model.networks.config import DecoderConfig, EncoderConfig, RecurrentConfig
from model.networks.directory import save_model
from model.networks.network import Network
from tests.model.jobs import SHAPE, VOCABULARY

TOKENS = torch.randint(0, VOCABULARY, (3, 16), generator=torch.Generator().manual_seed(1))
INPUTS = {"tokens": TOKENS}
KINDS = pytest.mark.parametrize("dora", [False, True])


def base() -> Network:
    return SHAPE.build(VOCABULARY, seed=3)


def adapted(config: LoraConfig, network: Network | None = None, *, trained: bool = True) -> tuple[Network, LoraAdapter]:
    """The base with an adapter; `trained`: as if training had changed every weight that it may."""
    network, adapter = network or base(), config.build()
    adapter.inject(network, 7)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if trained and parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network, adapter


def lora(**settings: object) -> LoraConfig:
    return LoraConfig.model_validate({"kind": "lora", "rank": 4, "alpha": 6.0, **settings})


@KINDS
def test_what_the_network_computes_is_unchanged_at_the_start(dora: bool) -> None:
    network, _ = adapted(lora(dora=dora), trained=False)
    assert torch.equal(network.logits(INPUTS), base().logits(INPUTS))


@KINDS
def test_merged_weights_follow_the_papers_formula(dora: bool) -> None:
    network, adapter = adapted(lora(dora=dora))
    tensors, merged = network.state_dict(), adapter.merged(network.state_dict())
    assert list(merged) == list(base().state_dict())
    changed = 0
    for name, weight in base().state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" not in tensors:
            assert torch.equal(merged[name], weight), name
            continue
        change = torch.zeros_like(weight)
        for number in range(4):  # a sum of outer products
            change += torch.outer(tensors[f"{layer}.lora_B.default.weight"][:, number], tensors[f"{layer}.lora_A.default.weight"][number])
        expected = weight + 6.0 / 4 * change
        if dora:
            expected = expected * (tensors[f"{layer}.lora_magnitude_vector.default.weight"] / expected.square().sum(1).sqrt())[:, None]
        torch.testing.assert_close(merged[name], expected, atol=1e-6, rtol=1e-5)
        changed += not torch.allclose(expected, weight, atol=1e-3)
    assert changed == 7 * SHAPE.layers
    plain = base()
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain.logits(INPUTS), network.logits(INPUTS), atol=1e-5, rtol=1e-5)
    assert (plain.logits(INPUTS) - base().logits(INPUTS)).abs().max() > 0.1


@KINDS
def test_the_saved_adapter_loads_with_peft_on_the_base_model_with_equal_logits(dora: bool, tmp_path: Path) -> None:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    network, adapter = adapted(lora(dora=dora))
    tensors = network.state_dict()
    adapter.save(adapter.own(tensors), tmp_path)
    loaded = PeftModel.from_pretrained(base(), tmp_path)
    assert torch.equal(loaded.base_model.model.logits(INPUTS), network.eval().logits(INPUTS))
    merged = adapter.merged(tensors)
    layers = {name: module for name, module in loaded.base_model.model.named_modules() if isinstance(module, LoraLayer)}
    assert len(layers) == 7 * SHAPE.layers
    for name, module in layers.items():
        module.merge()
        torch.testing.assert_close(module.get_base_layer().weight, merged[f"{name}.weight"], atol=1e-6 if dora else 0, rtol=0)


@KINDS
@pytest.mark.parametrize(
    "name", ["model.embed_tokens.lora_embedding_A", "model.embed_tokens.weight", "model.layers.9.mlp.up_proj.lora_B.weight"]
)
def test_an_adapter_that_also_changes_something_else_is_refused_by_name(dora: bool, name: str) -> None:
    network, adapter = adapted(lora(dora=dora))
    own = adapter.own(network.state_dict()) | {f"base_model.model.{name}": torch.zeros(2, 2)}
    with pytest.raises(AdapterError, match=f"also holds {name.removesuffix('.lora_B.weight')}"):
        adapter.restore(base(), own)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"trainable_token_indices": [1]}, r"trainable_token_indices=\[1\]"),
        ({"layer_replication": [[0, 2]]}, "layer_replication="),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights='pissa_niter_16', which changes the base"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
    ],
)
def test_settings_of_peft_that_change_more_than_the_matrices_are_refused_by_name(fields: dict[str, object], named: str) -> None:
    saved = {"peft_type": "LORA", "r": 4, "lora_alpha": 6.0, "init_lora_weights": "gaussian"}
    assert LoraConfig.from_saved(saved) == lora()
    with pytest.raises(AdapterError, match=named):
        LoraConfig.from_saved(saved | fields)


@KINDS
def test_transformers_with_peft_computes_the_same_from_the_base_directory_and_the_adapter(dora: bool, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    network, adapter = adapted(lora(dora=dora, targets=("q_proj", "down_proj")))
    save_model(base(), tmp_path / "base")
    adapter.save(adapter.own(network.state_dict()), tmp_path / "adapter")
    llama = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter").eval()
    torch.testing.assert_close(llama(input_ids=TOKENS).logits, network.eval().logits(INPUTS), atol=1e-5, rtol=1e-5)
    merged, theirs = adapter.merged(network.state_dict()), llama.merge_and_unload().state_dict()
    for name, weight in merged.items():
        torch.testing.assert_close(theirs[name], weight, atol=1e-6, rtol=0)


def test_gradients_reach_the_adapter_alone() -> None:
    network, _ = adapted(lora(), trained=False)
    torch.autograd.backward(network.logits(INPUTS).square().sum())
    with_gradient = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, _ in network.named_parameters() if "lora_" in name}
    counted = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    layer = SHAPE.width * (2 + 2) + 2 * (SHAPE.width + SHAPE.width // 2) + 3 * (SHAPE.width + SHAPE.feed_forward)
    assert counted == 4 * layer * SHAPE.layers


def test_the_reference_is_the_base_model_exactly_and_owns_no_weights() -> None:
    network, adapter = adapted(lora(dropout=0.5))
    network.train()
    reference = Reference(network, adapter)
    assert list(reference.parameters()) == []
    before = network.logits(INPUTS)
    seen = reference.logits(INPUTS)
    assert torch.equal(seen, base().logits(INPUTS)) and not seen.requires_grad
    assert not torch.allclose(before, seen, atol=0.1)
    torch.autograd.backward(before.sum())  # the reference's pass between forward and backward does not disturb the policy's gradients
    assert network.training and all((parameter.grad is not None) == parameter.requires_grad for parameter in network.parameters())
    assert sum(parameter.requires_grad for parameter in network.parameters()) == 2 * 7 * SHAPE.layers


def test_initial_values_depend_on_seed_and_name_alone() -> None:
    def drawn(network: Network, seed: int, state: int) -> dict[str, Tensor]:
        torch.manual_seed(state)
        adapter = lora().build()
        adapter.inject(network, seed)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(state))), "the global state was used"
        return {name: tensor.clone() for name, tensor in adapter.own(network.state_dict()).items()}

    one, again, other = drawn(base(), 7, 0), drawn(base(), 7, 1), drawn(base(), 8, 0)
    deeper = drawn(SHAPE.model_copy(update={"layers": 3}).build(VOCABULARY), 7, 0)
    for name, tensor in one.items():
        assert torch.equal(tensor, again[name]) and torch.equal(tensor, deeper[name])
        assert torch.equal(tensor, other[name]) == ("lora_B" in name)
    down = torch.cat([tensor.flatten() * tensor.shape[1] ** 0.5 for name, tensor in one.items() if "lora_A" in name])
    assert float(down.std()) == pytest.approx(3**-0.5, rel=0.05)


def test_the_same_tensors_give_the_same_files(tmp_path: Path) -> None:
    network, adapter = adapted(lora(dora=True))
    own = adapter.own(network.state_dict())
    adapter.save(own, tmp_path / "one")
    adapter.save(dict(reversed(own.items())), tmp_path / "two")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "adapter_config.json").read_text())["target_modules"][0] == "model.layers.0.mlp.down_proj"


def test_targets_are_the_matrices_inside_the_blocks_or_some_of_them_by_name() -> None:
    untied = SHAPE.model_copy(update={"tied_embeddings": False})
    network, adapter = adapted(lora(), untied.build(VOCABULARY))
    names = {name.split(".")[-3] for name in adapter.own(network.state_dict())}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    network, adapter = adapted(lora(targets=("v_proj",)))
    assert {name.split(".")[-3] for name in adapter.own(network.state_dict())} == {"v_proj"}
    with pytest.raises(AdapterError, match=r"adapter.targets names 'lm_head'; the linear layers inside the blocks are down_proj, .*v_proj"):
        lora(targets=("lm_head",)).build().inject(untied.build(VOCABULARY), 0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_adapted_network_writes_with_its_adapter_and_drops_nothing(dropout: float) -> None:
    latent = DecoderConfig(width=32, layers=2, heads=4, kv_heads=4, feed_forward=64, context=16, attention="latent", latent_width=16)
    network, _ = adapted(lora(dropout=dropout), latent.build(VOCABULARY))
    decoding = network.train().decoding()
    state = decoding.new_state()
    state.add(3)
    decoding.step(TOKENS[:, :9], [9] * 3, state)
    with torch.no_grad():
        whole = network.eval().logits({"tokens": TOKENS[:, :10]})[:, -1]
    torch.testing.assert_close(decoding.step(TOKENS[:, 9:10], [1] * 3, state), whole, atol=1e-5, rtol=1e-5)


def test_a_network_of_another_kind_is_adapted_where_its_blocks_have_linear_layers() -> None:
    network, adapter = adapted(lora(), EncoderConfig().build(VOCABULARY, seed=3).eval())
    before = EncoderConfig().build(VOCABULARY, seed=3).eval()
    assert torch.equal(Reference(network, adapter).logits(INPUTS), before.logits(INPUTS))
    before.load_state_dict(adapter.merged(network.state_dict()))
    torch.testing.assert_close(before.logits(INPUTS), network.logits(INPUTS), atol=1e-5, rtol=1e-5)
    with pytest.raises(AdapterError, match=r"adapter.kind=lora finds no linear layer in the blocks of Recurrent; use adapter.kind=full"):
        lora().build().inject(RecurrentConfig().build(VOCABULARY), 0)


def test_running_statistics_that_training_would_change_are_refused() -> None:
    normed = SHAPE.model_copy(update={"norm": "batch"}).build(VOCABULARY)
    with pytest.raises(AdapterError, match=r"can't freeze model.layers.0.input_layernorm.*; use another network, or adapter.kind=full"):
        lora().build().inject(normed, 0)


def test_without_peft_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(AdapterError, match=r"adapter.kind=lora needs peft: pip install -e '\.\[adapters\]'"):
        lora().build().inject(base(), 0)
