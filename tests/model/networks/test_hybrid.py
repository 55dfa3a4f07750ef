"""Token mixers against transformers' classes, torch's cells and the equations token by token, in packed rows, and onto what was kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from model.hardware.devices import product_environment
from model.layers.mixers.config import ConvolutionMixer, GatedDeltaMixer, Mamba2Mixer, RecurrenceMixer
from model.layers.mixers.gated_delta import GatedDelta, gated_delta_rule
from model.layers.mixers.mamba2 import Mamba2, state_space
from model.layers.mixers.mixer import Mixer, Places
from model.networks.base import Layout
from model.networks.config import HybridConfig
from model.networks.hybrid import Hybrid
from tests.model.networks.decoders import VOCABULARY, tokens
from tests.model.networks.spread import spread

WIDTH, TIME = 32, 23
DOCUMENTS = torch.tensor([[0] * 23, [0] * 3 + [1] * 12 + [2] * 8, [0] * 1 + [1] * 1 + [2] * 21])
SPANS = [(0, 0, 23), (1, 0, 3), (1, 3, 15), (1, 15, 23), (2, 0, 1), (2, 1, 2), (2, 2, 23)]
MIXERS = {
    "convolution": ConvolutionMixer(taps=4, dilation=2),
    "mamba2": Mamba2Mixer(head_width=16, state=8, chunk=5),
    "gated_delta": GatedDeltaMixer(head_width=16, chunk=5),
    "rnn": RecurrenceMixer(kind="rnn"),
    "lstm": RecurrenceMixer(kind="lstm"),
    "gru": RecurrenceMixer(kind="gru"),
}
PATTERNS: dict[str, list[dict[str, Any]]] = {
    **{name: [mixer.model_dump()] for name, mixer in MIXERS.items()},
    "hybrid": [MIXERS["gated_delta"].model_dump(), {"kind": "attention"}, MIXERS["mamba2"].model_dump()],
}
every = pytest.mark.parametrize("name", MIXERS)
each = pytest.mark.parametrize("name", PATTERNS)


def mixer_of(name: str, seed: int = 0) -> Mixer:
    """A mixer whose weights are all far from their initial values."""
    mixer = MIXERS[name].build(WIDTH, 1e-5)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(torch.empty(parameter.shape).normal_(0, 1 if parameter.dim() == 1 else WIDTH**-0.5, generator=generator))
    return mixer.eval()


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hybrid(name: str, **changes: object) -> Hybrid:
    sizes = {"width": WIDTH, "layers": 3, "heads": 4, "kv_heads": 2, "feed_forward": 48, "context": TIME, "initial_std": 0.3}
    return spread(Hybrid(HybridConfig.model_validate({**sizes, "mixers": PATTERNS[name], **changes}), VOCABULARY, seed=3))


@pytest.mark.parametrize("chunk", [1, 4, 16, 23, 64])
@torch.no_grad()
def test_mamba_2_computed_in_chunks_of_any_size_is_its_recurrence(chunk: int) -> None:
    x_BTHP, b_BTN, c_BTN = drawn(3, TIME, 2, 6), drawn(3, TIME, 5, seed=2), drawn(3, TIME, 5, seed=3)
    log_decay_BTH = -drawn(3, TIME, 2, seed=4).exp()
    y_BTHP, last = state_space(x_BTHP, log_decay_BTH, b_BTN, c_BTN, (DOCUMENTS + 1), None, max(2, chunk))
    state, wanted = torch.zeros(3, 2, 5, 6, dtype=torch.float64), []
    for time in range(TIME):
        starts = torch.ones(3, 1, 1, 1) if time == 0 else (DOCUMENTS[:, time] != DOCUMENTS[:, time - 1])[:, None, None, None]
        state = torch.where(starts.bool(), 0.0, state) * log_decay_BTH[:, time].double().exp()[..., None, None]
        state = state + b_BTN[:, time].double()[:, None, :, None] * x_BTHP[:, time].double()[:, :, None]
        wanted.append((c_BTN[:, time].double()[:, None, :, None] * state).sum(2))
    torch.testing.assert_close(y_BTHP.double(), torch.stack(wanted, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last.double(), state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [2, 4, 16, 23, 64])
@torch.no_grad()
def test_the_gated_delta_rule_computed_in_chunks_of_any_size_is_its_recurrence(chunk: int) -> None:
    q, k, v = drawn(3, TIME, 2, 6), functional.normalize(drawn(3, TIME, 2, 6, seed=2), dim=-1), drawn(3, TIME, 2, 4, seed=3)
    log_decay, share = -drawn(3, TIME, 2, seed=4).exp(), drawn(3, TIME, 2, seed=5).sigmoid()
    y_BTHV, last = gated_delta_rule(q, k, v, log_decay, share, DOCUMENTS + 1, None, chunk)
    memory, wanted = torch.zeros(3, 2, 6, 4, dtype=torch.float64), []
    q, k, v, share = (part.double() for part in (q, k, v, share))
    for time in range(TIME):
        starts = torch.ones(3, 1, 1, 1) if time == 0 else (DOCUMENTS[:, time] != DOCUMENTS[:, time - 1])[:, None, None, None]
        memory = torch.where(starts.bool(), 0.0, memory) * log_decay[:, time].double().exp()[..., None, None]
        held = torch.einsum("bhkv,bhk->bhv", memory, k[:, time])
        change = (v[:, time] - held) * share[:, time][..., None]
        memory = memory + torch.einsum("bhk,bhv->bhkv", k[:, time], change)
        wanted.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, time]))
    torch.testing.assert_close(y_BTHV.double(), torch.stack(wanted, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last.double(), memory, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_mamba_2_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer as Theirs

    ours = mixer_of("mamba2")
    assert isinstance(ours, Mamba2)
    shape = {"hidden_size": WIDTH, "num_heads": 4, "head_dim": 16, "expand": 2, "state_size": 8, "n_groups": 1, "conv_kernel": 4}
    theirs = Theirs(transformers.Mamba2Config(**shape, chunk_size=8, use_bias=False, use_conv_bias=True, layer_norm_epsilon=1e-5), 0)
    weights = ours.state_dict()
    renamed = {"norm_weight": "norm.weight", "o_proj.weight": "out_proj.weight"}
    theirs.load_state_dict({renamed.get(name, name): tensor for name, tensor in weights.items()})
    x_BTD = drawn(2, TIME, WIDTH)
    torch.testing.assert_close(ours(x_BTD, Places())[0], theirs.eval()(x_BTD), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_gated_convolution_is_that_of_transformers_lfm2() -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

    ours = ConvolutionMixer(taps=3).build(WIDTH, 1e-5)
    theirs = Lfm2ShortConv(transformers.Lfm2Config(hidden_size=WIDTH, conv_L_cache=3, conv_bias=False), 0)
    theirs.load_state_dict({name.replace("o_proj", "out_proj"): drawn(*tensor.shape) for name, tensor in ours.state_dict().items()})
    ours.load_state_dict({name.replace("out_proj", "o_proj"): tensor for name, tensor in theirs.state_dict().items()})
    x_BTD = drawn(2, TIME, WIDTH)
    torch.testing.assert_close(ours(x_BTD, Places())[0], theirs.eval()(x_BTD), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
@torch.no_grad()
def test_recurrences_are_torchs_own(name: str, kind: Callable[..., nn.RNNBase]) -> None:
    ours, theirs = mixer_of(name), kind(WIDTH, WIDTH, batch_first=True)
    theirs.load_state_dict({part.removeprefix("cell."): weight for part, weight in ours.state_dict().items() if part.startswith("cell.")})
    x_BTD = drawn(2, TIME, WIDTH)
    torch.testing.assert_close(ours(x_BTD, Places())[0], theirs(x_BTD)[0] @ ours.state_dict()["o_proj.weight"].T, atol=1e-5, rtol=1e-5)


@every
@torch.no_grad()
def test_each_document_of_a_packed_row_is_computed_as_if_it_were_alone(name: str) -> None:
    mixer, x_BTD = mixer_of(name), drawn(3, TIME, WIDTH)
    y_BTD, _ = mixer(x_BTD, Places(DOCUMENTS))
    assert y_BTD.std() > 0.1, "outputs this small would agree whatever is computed"
    for row, start, end in SPANS:
        alone_1TD, _ = mixer(x_BTD[row : row + 1, start:end], Places())
        torch.testing.assert_close(y_BTD[row, start:end], alone_1TD[0], atol=1e-5, rtol=1e-5)


@every
@torch.no_grad()
def test_tokens_read_onto_a_state_in_parts_of_any_length_with_padding_are_those_read_at_once(name: str) -> None:
    mixer, x_BTD = mixer_of(name), drawn(3, TIME, WIDTH)
    whole_BTD, _ = mixer(x_BTD, Places())
    state, read = mixer.empty(3, x_BTD.device), torch.zeros(3, dtype=torch.int64)
    for counts in ([1, 2, 3], [1, 1, 1], [9, 4, 7], [12, 16, 12]):
        part_BTD = torch.stack([functional.pad(x_BTD[row], (0, 0, 0, TIME))[read[row] : read[row] + max(counts)] for row in range(3)])
        y_BTD, state = mixer(part_BTD, Places(None, torch.tensor(counts), state))
        for row, count in enumerate(counts):
            torch.testing.assert_close(y_BTD[row, :count], whole_BTD[row, read[row] : read[row] + count], atol=1e-5, rtol=1e-5)
        read += torch.tensor(counts)
    assert read.tolist() == [TIME] * 3


@each
def test_changing_one_document_of_a_packed_row_leaves_the_others_logits_and_gradients_bit_equal(name: str) -> None:
    network, batch = hybrid(name), tokens(3, TIME)
    changed = batch.clone()
    changed[1, 3:15] = (changed[1, 3:15] + 1) % VOCABULARY
    same = torch.ones(3, TIME, dtype=torch.bool)
    same[1, 3:15] = False
    found, gradients = [], []
    for one in (batch, changed):
        logits_BTV = network.logits({"tokens": one, "documents": DOCUMENTS})
        found.append(logits_BTV.detach())
        written = dict(network.named_parameters())["model.layers.0.mixer.o_proj.weight"]
        (gradient,) = torch.autograd.grad(logits_BTV[1, 15:].square().sum(), [written])
        gradients.append(gradient)
    assert found[0][same].equal(found[1][same]) and not found[0][~same].isclose(found[1][~same]).all()
    assert gradients[0].equal(gradients[1])


@each
@torch.no_grad()
def test_later_tokens_change_nothing_before_them(name: str) -> None:
    network, batch = hybrid(name), tokens(1, TIME)
    changed = batch.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % VOCABULARY
    before, after = (network.logits({"tokens": one}) for one in (batch, changed))
    assert before[:, :12].equal(after[:, :12]) and not before[:, 12].isclose(after[:, 12]).all()


@each
def test_recomputing_blocks_gives_the_same_gradients_bit_for_bit(name: str) -> None:
    gradients = []
    for recompute in (False, True):
        network = hybrid(name, dropout=0.2).train()
        network.recompute = recompute
        torch.manual_seed(1)
        torch.autograd.backward(network.logits({"tokens": tokens(3, TIME), "documents": DOCUMENTS}).square().sum())
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(one is not None and other is not None and one.equal(other) for one, other in zip(*gradients, strict=True))


@each
@pytest.mark.skipif(not product_environment(), reason="this processor's products follow the number of threads")
@torch.no_grad()
def test_any_number_of_threads_computes_the_same_bits(name: str) -> None:
    network, batch, threads = hybrid(name), {"tokens": tokens(3, TIME), "documents": DOCUMENTS}, torch.get_num_threads()
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        found.append(network.logits(batch))
    torch.set_num_threads(threads)
    assert found[0].equal(found[1]) and found[0].equal(found[2])


def test_a_state_that_decays_differs_from_head_to_head_and_steps_are_small_at_first() -> None:
    mixer = HybridConfig(width=256, layers=2, mixers=(Mamba2Mixer(),)).build(VOCABULARY).blocks()[1].mixer
    assert isinstance(mixer, Mamba2 | GatedDelta)
    rates, steps = mixer.A_log.exp(), functional.softplus(mixer.dt_bias)
    assert (rates >= 1).all() and (rates <= 16).all() and rates.std() > 2
    assert (steps > 0.0009).all() and (steps < 0.11).all() and steps.max() / steps.min() > 5


@pytest.mark.parametrize(
    "key", ["attention=latent", "head_width=8", "qk_norm=True", "pattern=sliding", "rope_theta=500.0", "positions=alibi"]
)
def test_a_setting_of_attention_alone_is_refused_where_no_block_attends(key: str) -> None:
    name, _, value = key.partition("=")
    with pytest.raises(ValidationError, match=f"{name}={value} does nothing: no block's mixer is attention"):
        HybridConfig.model_validate({"mixers": [{"kind": "mamba2"}], name: value})
    HybridConfig.model_validate({"mixers": [{"kind": "mamba2"}, {"kind": "attention"}], name: value})


def test_what_can_not_be_built_or_laid_out_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="attention alone is a decoder; set kind: decoder"):
        HybridConfig.model_validate({"mixers": [{"kind": "attention"}]})
    with pytest.raises(ValidationError, match="gated_delta: head_width=48 does not divide width=128"):
        HybridConfig.model_validate({"mixers": [{"kind": "gated_delta", "head_width": 48}]})
    with pytest.raises(ValidationError, match="norm=batch with kind=hybrid"):
        HybridConfig.model_validate({"norm": "batch"})
    with pytest.raises(ValidationError, match="'attention', 'convolution', 'mamba2', 'gated_delta', 'rnn', 'lstm', 'gru'"):
        HybridConfig.model_validate({"mixers": [{"kind": "hyena"}]})
    config = HybridConfig(mixers=(RecurrenceMixer(),))
    sizes = {"micro_batch": 0, "global_batch": 8, "batch_warmup_steps": 0}
    problems = list(config.layout_problems(Layout(workers=2, tensor=2, pipeline=2, recompute="all", zero_stage=3, **sizes)))  # type: ignore[arg-type]
    assert [word for word in ("tensor=2", "pipeline=2", "zero_stage=3") if not any(word in problem for problem in problems)] == []
