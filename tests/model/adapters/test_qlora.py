"""QLoRA: its formats of four bits against their definitions, the packed base against the unpacked one, merging and loading against peft."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from torch import nn

from model.adapters.lora import LoraConfig
from model.adapters.opening import adapt, stored_adapter
from model.adapters.qlora import Nf4Codec, QLoraConfig, codec_of, nf4_values
from model.layers.linear import FourBitLinear
from model.networks.config import DecoderConfig
from model.networks.directory import load_model, save_model
from model.networks.network import Network
from model.quantization.integers import GroupCodec
from tests.model.adapters.adapted import INPUTS, TOKENS, adapted, base
from tests.model.jobs import VOCABULARY
from tests.model.networks.spread import spread

# The sixteen values as the paper's appendix E prints them.
PUBLISHED = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
FORMATS = pytest.mark.parametrize("base_format", ["nf4", "int4"])


def qlora(**settings: object) -> QLoraConfig:
    return QLoraConfig.model_validate({"kind": "qlora", "rank": 4, "alpha": 6.0, "group_size": 8, **settings})


def test_nf4_has_the_published_values() -> None:
    assert nf4_values() == pytest.approx(PUBLISHED, abs=1e-6)


def test_nf4_rounds_each_weight_to_the_nearest_of_its_groups_values() -> None:
    weight = torch.randn(5, 21, generator=torch.Generator().manual_seed(0))
    decoded = Nf4Codec(8).decode(*Nf4Codec(8).encode(weight), weight.shape)
    for row in range(5):
        for column in range(21):
            first = column // 8 * 8
            scale = weight[row, first : first + 8].abs().max().to(torch.bfloat16).float()
            nearest = min((value * scale for value in torch.tensor(PUBLISHED)), key=lambda value: abs(value - weight[row, column]))
            assert float(decoded[row, column]) == pytest.approx(float(nearest), abs=1e-6)
    zeros = torch.zeros(2, 8)
    assert torch.equal(Nf4Codec(8).decode(*Nf4Codec(8).encode(zeros), zeros.shape), zeros)
    with pytest.raises(ValueError, match="NaN or infinity"):
        Nf4Codec(8).encode(torch.full((2, 8), torch.nan))


def test_nf4_loses_less_of_normally_distributed_weights_than_int4() -> None:
    quantile = NormalDist().inv_cdf
    weight = torch.tensor([quantile((i + 0.5) / 4096) for i in range(4096)])[torch.randperm(4096)].view(16, 256)
    errors = [float((codec.decode(*codec.encode(weight), weight.shape) - weight).norm()) for codec in (Nf4Codec(64), GroupCodec(64))]
    assert errors[0] < 0.95 * errors[1]


@FORMATS
def test_a_packed_layer_computes_and_differentiates_as_its_unpacked_matrix_does(base_format: str) -> None:
    linear, codec = nn.Linear(24, 10), codec_of(base_format, 8)
    packed = FourBitLinear(*codec.encode(linear.weight), linear.weight.shape, linear.bias, codec.decode)
    with torch.no_grad():
        linear.weight.copy_(codec.decode(*codec.encode(linear.weight), linear.weight.shape))
    x = torch.randn(3, 5, 24)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(given) for layer, given in zip((linear, packed), inputs, strict=True)]
    for output in outputs:
        output.square().sum().backward()
    assert torch.equal(*outputs) and inputs[0].grad is not None and inputs[1].grad is not None
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-6, rtol=1e-6)
    assert [name for name, _ in packed.named_parameters()] == ["bias"] and list(packed.state_dict()) == ["bias"]
    assert packed.qweight.nbytes + packed.scales.nbytes == 10 * (24 // 2 + 3 * 2)


@FORMATS
def test_every_matrix_of_the_blocks_is_packed_and_only_changes_are_trained(base_format: str) -> None:
    network, _ = adapted(qlora(base=base_format, targets=("q_proj",)))
    packed = [name for name, module in network.named_modules() if isinstance(module, FourBitLinear)]
    assert len(packed) == 7 * 2 and sum(name.endswith("q_proj.base_layer") for name in packed) == 2
    torch.autograd.backward(network.logits(INPUTS).square().sum())
    learned = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    assert len(learned) == 2 * 2 and all("lora_" in name for name in learned)


@FORMATS
def test_merged_weights_are_the_rounded_base_with_the_changes_exactly(base_format: str) -> None:
    network, adapter = adapted(qlora(base=base_format))
    tensors, codec = network.state_dict(), codec_of(base_format, 8)
    merged = adapter.merged({**tensors, **adapter.kept(network)})
    assert merged.keys() == base().state_dict().keys()
    for name, weight in base().state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" not in tensors:
            assert torch.equal(merged[name], weight)
            continue
        rounded = codec.decode(*codec.encode(weight), weight.shape)
        change = tensors[f"{layer}.lora_B.default.weight"] @ tensors[f"{layer}.lora_A.default.weight"]
        assert torch.equal(merged[name], rounded + change * (6.0 / 4)) and not torch.equal(rounded, weight)
    plain = base()
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain.logits(INPUTS), network.logits(INPUTS), atol=1e-5, rtol=1e-5)


@FORMATS
def test_peft_computes_the_same_from_the_rounded_base_and_the_saved_changes(base_format: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network, adapter = adapted(qlora(base=base_format))
    adapter.save(adapter.own(network.state_dict()), tmp_path)
    loaded = PeftModel.from_pretrained(rounded_base(base_format), tmp_path)
    torch.testing.assert_close(loaded.base_model.model.logits(INPUTS), network.logits(INPUTS), atol=1e-6, rtol=1e-6)


def rounded_base(base_format: str) -> Network:
    network, codec = base(), codec_of(base_format, 8)
    roles = network.roles()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if roles[name] == "matrix":
                weight.copy_(codec.decode(*codec.encode(weight), weight.shape))
    return network


@FORMATS
def test_it_writes_with_the_packed_base(base_format: str) -> None:
    network, _ = adapted(qlora(base=base_format, targets=("v_proj",), dropout=0.3))
    decoding = network.train().decoding()
    state = decoding.new_state()
    state.add(3)
    written = decoding.step(TOKENS, [TOKENS.shape[1]] * 3, state)
    torch.testing.assert_close(written, network.eval().logits(INPUTS)[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config", [qlora(), LoraConfig(kind="lora", rank=3, alpha=5.0), LoraConfig(kind="lora", rank=3, alpha=5.0, dora=True)], ids=str
)
def test_a_saved_adapter_makes_of_the_base_what_training_made_of_it(config: QLoraConfig | LoraConfig, tmp_path: Path) -> None:
    network, adapter = adapted(config)
    adapter.save(adapter.own(network.state_dict()), tmp_path)
    assert stored_adapter(tmp_path).model_dump() == config.model_dump()
    plain = base()
    adapt(plain, tmp_path)
    torch.testing.assert_close(plain.logits(INPUTS), network.eval().logits(INPUTS), atol=1e-5, rtol=1e-5)


@FORMATS
@pytest.mark.parametrize("experts", [False, True], ids=["dense", "experts"])
def test_matrices_that_are_packed_as_they_are_read_are_those_that_are_packed_after(base_format: str, experts: bool, tmp_path: Path) -> None:
    more = {"experts": {"count": 4, "active": 2}} if experts else {}
    shape = DecoderConfig.model_validate({"width": 24, "layers": 2, "heads": 4, "context": 32, "attention_bias": True, **more})
    save_model(spread(shape.build(VOCABULARY, seed=3)), tmp_path)
    config = qlora(base=base_format)
    hold, networks = config.hold(), []
    assert hold is not None
    for network in (load_model(tmp_path), load_model(tmp_path, hold=hold)):
        config.build().inject(network, 5)
        networks.append(network)
    after, read = networks
    assert [name for name, _ in after.named_parameters()] == [name for name, _ in read.named_parameters()]
    buffers = dict(read.named_buffers())
    assert sum("qweight" in name for name in buffers) == sum(isinstance(module, FourBitLinear) for module in read.modules()) > 0
    for name, tensor in (*after.named_parameters(), *after.named_buffers()):
        found = buffers[name] if name in buffers else read.get_parameter(name)
        assert found.equal(tensor) and found.dtype == tensor.dtype, name
    assert after.logits(INPUTS).equal(read.logits(INPUTS))
