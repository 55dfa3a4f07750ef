"""Adapters that stay apart from the weights: prefix tuning, prompt tuning and bottlenecks, against plain torch and peft."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.adapters.bottleneck import BottleneckConfig
from model.adapters.config import AnyAdapter
from model.adapters.opening import Reference, load_adapted
from model.adapters.prefixes import PrefixConfig, PromptConfig
from model.adapters.protocol import FOLDER, AdapterError
from model.inference.open_model import open_model
from model.layers.linear import Bottleneck
from model.networks.base import NetworkBase
from model.networks.config import DecoderConfig, EncoderConfig, RecurrentConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, load_model, save_model, save_tensors
from model.networks.network import Network
from model.quantization.integers import Int8Config
from tests.model.adapters.adapted import INPUTS, TOKENS, adapted, base
from tests.model.jobs import SHAPE, VOCABULARY

PREFIX, PROMPT = PrefixConfig(kind="prefix", length=5), PromptConfig(kind="prompt", length=5)
BOTTLENECK = BottleneckConfig(kind="bottleneck", width=4)
PREFIXED = pytest.mark.parametrize("config", [PREFIX, PROMPT], ids=lambda config: config.kind)
KINDS = pytest.mark.parametrize("config", [PREFIX, PROMPT, BOTTLENECK], ids=lambda config: config.kind)


@PREFIXED
@pytest.mark.parametrize("shape", [{}, {"qk_norm": True}, {"rope_scaling": "yarn", "rope_factor": 2.0}], ids=["llama", "qwen3", "yarn"])
def test_peft_loads_what_was_saved_and_computes_the_same_logits(config: AnyAdapter, shape: dict[str, object], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = SHAPE.model_copy(update=shape).build(VOCABULARY, seed=3).eval()
    save_model(plain, tmp_path / "base")
    network, adapter = adapted(config, plain)
    adapter.save(adapter.own(network.state_dict()), tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter").eval()
    logits = theirs(input_ids=TOKENS).logits[:, -TOKENS.shape[1] :]  # peft returns those of a prompt's own positions too
    torch.testing.assert_close(network.logits(INPUTS), logits, atol=1e-6, rtol=1e-6)
    assert (logits - base().logits(INPUTS)).abs().max() > 0.1


def test_a_prompt_is_what_its_vectors_would_be_as_tokens() -> None:
    tokens_P = torch.tensor([9, 4, 33])
    network = base()
    assert isinstance(network, Decoder)
    expected = network.logits({"tokens": torch.cat((tokens_P.expand(3, -1), TOKENS), dim=1)})[:, 3:]
    adapter = PromptConfig(kind="prompt", length=3).build()
    adapter.restore(network, {"prompt_embeddings": network.model.embed_tokens.weight[tokens_P].detach()})
    torch.testing.assert_close(network.logits(INPUTS), expected, atol=1e-5, rtol=1e-5)


def test_a_bottleneck_follows_the_papers_formula() -> None:
    network, _ = adapted(BOTTLENECK)
    assert isinstance(network, Decoder)
    layer, x = network.get_submodule("model.layers.0.mlp.down_proj"), torch.randn(7, SHAPE.feed_forward)
    assert isinstance(layer, Bottleneck)
    y = x @ layer.base_layer.weight.T
    inner = y @ layer.bottleneck_down.weight.T + layer.bottleneck_down.bias
    gelu = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    torch.testing.assert_close(layer(x), y + gelu @ layer.bottleneck_up.weight.T + layer.bottleneck_up.bias, atol=1e-5, rtol=1e-5)
    started = base()
    BOTTLENECK.build().inject(started, 7)
    assert torch.equal(started.logits(INPUTS), base().logits(INPUTS))


@KINDS
def test_packed_documents_have_it_before_each_and_do_not_see_each_other(config: AnyAdapter) -> None:
    network, _ = adapted(config)
    documents = torch.tensor([[0] * 5 + [1] * 7] * 3)
    packed = network.logits({**INPUTS, "documents": documents})
    alone = torch.cat([network.logits({"tokens": part}) for part in (TOKENS[:, :5], TOKENS[:, 5:])], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)


@KINDS
@pytest.mark.parametrize("shape", [{}, {"attention_soft_cap": 20.0}, {"norm_place": "post", "positions": "none"}], ids=str)
def test_it_writes_what_whole_passes_would(config: AnyAdapter, shape: dict[str, object]) -> None:
    network, _ = adapted(config, SHAPE.model_copy(update=shape).build(VOCABULARY, seed=3).eval())
    decoding = network.decoding()
    state = decoding.new_state()
    state.add(2)
    decoding.step(TOKENS[:2, :5], [5, 3], state)  # the second row is shorter: two tokens of padding
    state.add(1)
    decoding.step(TOKENS[2:, :4], [4], state, first=2)
    state.remove(0)  # the last row takes its place
    for number in range(4, 9):
        texts = [TOKENS[2, : number + 1], torch.cat((TOKENS[1, :3], TOKENS[1, 5 : number + 2]))]
        written = decoding.step(torch.stack([text[-1:] for text in texts]), [1, 1], state)
        whole = torch.cat([network.logits({"tokens": text[None]})[:, -1] for text in texts])
        torch.testing.assert_close(written, whole, atol=1e-5, rtol=1e-5)


@KINDS
def test_rows_that_are_copied_kept_and_joined_again_have_it_too(config: AnyAdapter) -> None:
    network, _ = adapted(config)
    decoding = network.decoding()
    state = decoding.new_state()
    state.add(2)
    decoding.step(TOKENS[:2, :5], [5, 5], state)
    kept = state.keep(1)
    state.select([1, 1, 0])
    state.restore(kept, 3)
    texts = [torch.cat((TOKENS[row, :count], TOKENS[2, :1])) for row, count in ((1, 5), (1, 5), (0, 5), (1, 3))]
    written = decoding.step(TOKENS[2, :1].expand(4, 1), [1] * 4, state)
    whole = torch.cat([network.logits({"tokens": text[None]})[:, -1] for text in texts])
    torch.testing.assert_close(written, whole, atol=1e-5, rtol=1e-5)


@PREFIXED
def test_accelerators_kernel_sees_the_same(config: AnyAdapter) -> None:
    """FlexAttention's own reference on a CPU, with the mask of packed rows that cards compute with."""
    from torch.nn.attention.flex_attention import flex_attention

    from model.layers.attention import plain_attention
    from model.layers.attention_plan import AttentionInputs

    documents = torch.tensor([[0] * 5 + [1] * 7] * 3)
    inputs = AttentionInputs(SHAPE, torch.zeros(3, 12, 32), None, documents, training=False, before=5)
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(3, 4, 12, 8, generator=generator)
    k, v = (torch.randn(3, 4, 17, 8, generator=generator) for _ in range(2))
    flex, fused = inputs._flex_plan(None), inputs.plan(None)
    assert fused.mask is not None
    bias = torch.zeros(fused.mask.shape).masked_fill(~fused.mask, float("-inf"))
    expected = plain_attention(q, k, v, bias.expand(3, 4, 12, 17).reshape(12, 12, 17))
    torch.testing.assert_close(flex_attention(q, k, v, block_mask=flex.block_mask), expected, atol=1e-5, rtol=1e-5)


@KINDS
def test_the_reference_is_the_base_model_exactly(config: AnyAdapter) -> None:
    network, adapter = adapted(config)
    reference = Reference(network, adapter)
    with_adapter = network.train().logits(INPUTS)
    assert torch.equal(reference.logits(INPUTS), base().logits(INPUTS)) and network.training
    assert torch.equal(network.logits(INPUTS), with_adapter) and list(reference.parameters()) == []


@KINDS
def test_gradients_reach_the_adapter_alone(config: AnyAdapter) -> None:
    network, adapter = adapted(config)
    torch.autograd.backward(network.logits(INPUTS).square().sum())
    learned = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    own = sum(tensor.numel() for tensor in adapter.own(network.state_dict()).values())
    assert own == sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    kv = SHAPE.kv_heads * SHAPE.head_dim
    sizes = {"prefix": 5 * 2 * SHAPE.layers * kv, "prompt": 5 * SHAPE.width}
    assert own == sizes.get(config.kind, 2 * SHAPE.layers * (2 * 4 * SHAPE.width + 4 + SHAPE.width))


@PREFIXED
def test_recomputing_blocks_gives_the_same_gradients(config: AnyAdapter) -> None:
    gradients: list[Tensor] = []
    for recompute in (False, True):
        network, _ = adapted(config)
        network.train().recompute = recompute
        torch.autograd.backward(network.logits(INPUTS).square().sum())
        (gradient,) = (parameter.grad for parameter in network.parameters() if parameter.grad is not None)
        gradients.append(gradient)
    assert torch.equal(*gradients)


def written(config: AnyAdapter, network: Network, folder: Path) -> Path:
    """A model directory as training writes it."""
    adapter, tensors = config.build(), network.state_dict()
    save_tensors(adapter.merged(tensors), network.config, network.vocab_size, folder, apart=config.model_dump(mode="json"))
    adapter.save(adapter.own(tensors), folder / FOLDER)
    return folder


@KINDS
def test_its_directory_opens_with_it_and_is_refused_without(config: AnyAdapter, tmp_path: Path) -> None:
    from transformers import AutoConfig

    network, _ = adapted(config)
    folder = written(config, network, tmp_path / "model")
    for opened in (load_adapted(folder), open_model(folder)):
        assert torch.equal(opened.logits(INPUTS), network.logits(INPUTS))
    assert torch.equal(load_model(folder, bare=True).logits(INPUTS), base().logits(INPUTS))
    with pytest.raises(
        ModelError, match=rf"adapter.kind={config.kind}\), so it can be talked to, evaluated and exported, but neither tuned"
    ):
        load_model(folder)
    with pytest.raises(ModelError, match="neither tuned further nor quantized"):
        Int8Config(kind="int8").build().write(folder, tmp_path / "int8", None, None)
    with pytest.raises(ValueError, match="folio"):
        AutoConfig.from_pretrained(folder)
    (folder / FOLDER / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"does not exist: .*config.json names an adapter of kind={config.kind}; copy the whole"):
        load_adapted(folder)


@KINDS
def test_the_adapter_of_another_network_is_refused_by_name(config: AnyAdapter) -> None:
    network, adapter = adapted(config)
    wider = SHAPE.model_copy(update={"width": 64, "head_width": 16}).build(VOCABULARY)
    with pytest.raises(AdapterError, match=rf"adapter.kind={config.kind}.* another"):
        adapter.restore(wider, adapter.own(network.state_dict()))


@KINDS
def test_the_same_seed_gives_the_same_start_and_the_same_files(config: AnyAdapter, tmp_path: Path) -> None:
    def start(seed: int, state: int) -> dict[str, Tensor]:
        network, adapter = base(), config.build()
        torch.manual_seed(state)
        adapter.inject(network, seed)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(state))), "the global state was used"
        return {name: tensor.clone() for name, tensor in adapter.own(network.state_dict()).items()}

    one, again, other = start(7, 0), start(7, 1), start(8, 0)
    assert all(torch.equal(one[name], again[name]) for name in one) and not all(torch.equal(one[name], other[name]) for name in one)
    for name, tensors in (("one", one), ("two", dict(reversed(again.items())))):
        config.build().save(tensors, tmp_path / name)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    json.loads((tmp_path / "one" / "adapter_config.json").read_text())


REFUSED = [
    (PREFIX, DecoderConfig(positions="learned"), "adapter.kind=prefix: nothing can stand before a document with positions=learned"),
    (PROMPT, DecoderConfig(pattern="sliding", window=8), r"adapter.kind=prompt: .*pattern=sliding \(only full\); use adapter.kind=lora"),
    (PREFIX, EncoderConfig(), "adapter.kind=prefix: blocks of kind=encoder attend to nothing before a document"),
    (BOTTLENECK, RecurrentConfig(), "adapter.kind=bottleneck finds no layer that ends a sublayer in Recurrent; use adapter.kind=full"),
]


@pytest.mark.parametrize(("config", "shape", "message"), REFUSED)
def test_networks_that_cannot_have_it_are_refused_by_name(config: AnyAdapter, shape: NetworkBase, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        config.build().check(shape.build(VOCABULARY))
