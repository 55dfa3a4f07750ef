"""Properties that hold for a decoder with every choice of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model.inference.open_model import open_model
from model.layers.attention_plan import AttentionInputs
from model.layers.block import Block
from model.layers.norms import BatchNorm
from model.networks.decoder import Decoder
from model.networks.directory import load_model, read_config, save_model
from model.networks.meta import count_parameters
from model.quantization.config import quantize
from model.quantization.integers import Int4Config, Int8Config
from tests.model.networks.decoders import EVERY, OWN, VOCABULARY, first_block_inputs, small_config, spread_decoder, tokens

DOCUMENTS = torch.tensor([[0] * 7 + [1] * 12 + [2] * 11, [0] * 30])
each = pytest.mark.parametrize("choice", EVERY.values(), ids=EVERY.keys())
# Costly: the quick suite takes each fifth.
some = pytest.mark.parametrize(
    "choice", [pytest.param(choice, id=name, marks=pytest.mark.slow if n % 5 else ()) for n, (name, choice) in enumerate(EVERY.items())]
)


@each
def test_the_config_counts_the_parameters_that_the_decoder_has(choice: dict[str, Any]) -> None:
    config = small_config(**choice)
    assert count_parameters(config, VOCABULARY) == sum(parameter.numel() for parameter in Decoder(config, VOCABULARY).parameters())


@each
def test_changing_one_packed_document_leaves_its_neighbours_logits_bit_equal(choice: dict[str, Any]) -> None:
    decoder = spread_decoder(small_config(**choice))
    before = tokens(2, 30)
    after = before.clone()
    after[0, 7:19] = (after[0, 7:19] + 1) % VOCABULARY
    # Batch norm alone lets documents see each other in training.
    for training in (False, True) if decoder.config.norm != "batch" else (False,):
        decoder.train(training)
        outcomes = []
        for batch in (before, after):
            torch.manual_seed(5)
            with torch.no_grad():
                outcomes.append(decoder.logits({"tokens": batch, "documents": DOCUMENTS}))
        one, two = outcomes
        assert torch.equal(one[0, :7], two[0, :7]) and torch.equal(one[0, 19:], two[0, 19:]) and torch.equal(one[1], two[1])
        assert not torch.equal(one[0, 7:19], two[0, 7:19])


@each
def test_a_packed_document_gets_the_logits_that_it_gets_alone(choice: dict[str, Any]) -> None:
    decoder, row = spread_decoder(small_config(**choice)), tokens(2, 30)
    with torch.no_grad():
        packed, alone = decoder.logits({"tokens": row, "documents": DOCUMENTS})[:1, 7:19], decoder.logits({"tokens": row[:1, 7:19]})
    assert alone.std() > 0.3, "logits this small would agree whatever is computed"
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=1e-5)


@each
def test_no_logit_depends_on_a_later_token(choice: dict[str, Any]) -> None:
    decoder, row = spread_decoder(small_config(**choice)), tokens(1, 20)
    other = row.clone()
    other[0, 12:] = (other[0, 12:] + 1) % VOCABULARY
    with torch.no_grad():
        assert torch.equal(decoder.logits({"tokens": row})[:, :12], decoder.logits({"tokens": other})[:, :12])


@each
def test_a_saved_decoder_loads_bit_equal_with_its_config(choice: dict[str, Any], tmp_path: Path) -> None:
    decoder = spread_decoder(small_config(**choice))
    save_model(decoder, tmp_path)
    assert read_config(tmp_path) == (decoder.config, VOCABULARY)
    back = load_model(tmp_path)
    assert not back.training
    assert torch.equal(decoder.logits({"tokens": tokens(1, 9)}), back.logits({"tokens": tokens(1, 9)}))


@some
def test_recomputing_blocks_gives_bit_equal_gradients(choice: dict[str, Any]) -> None:
    config = small_config(**{**choice, "dropout": 0.25})
    if config.norm == "batch":
        with pytest.raises(ValueError, match="recompute=true with norm=batch"):
            spread_decoder(config).recompute = True
        return
    gradients = []
    for recompute in (False, True):
        decoder = spread_decoder(config).train()
        decoder.recompute = recompute
        torch.manual_seed(7)
        torch.autograd.backward(decoder.logits({"tokens": tokens(2, 30), "documents": DOCUMENTS}).square().sum())
        gradients.append({name: parameter.grad for name, parameter in decoder.named_parameters()})
    for name, gradient in gradients[0].items():
        recomputed = gradients[1][name]
        assert gradient is not None and gradient.abs().sum() > 0, f"{name} learns nothing"
        assert recomputed is not None and torch.equal(gradient, recomputed), name


def test_recomputing_runs_each_block_twice_in_training_only() -> None:
    decoder, calls = spread_decoder(small_config()), list[int]()
    for number, block in enumerate(decoder.model.layers):
        assert isinstance(block, Block)
        block.mlp.register_forward_pre_hook(lambda *_, number=number: calls.append(number))
    decoder.recompute = True
    torch.autograd.backward(decoder.logits({"tokens": tokens(1, 9)}).sum())
    assert calls == [0, 1]
    torch.autograd.backward(decoder.train().logits({"tokens": tokens(1, 9)}).sum())
    assert calls[2:] == [0, 1, 1, 0]


@each
def test_bf16_changes_the_logits_by_rounding_only(choice: dict[str, Any]) -> None:
    decoder, row = spread_decoder(small_config(**choice)), tokens(2, 30)
    with torch.no_grad():
        exact = decoder.logits({"tokens": row, "documents": DOCUMENTS})
        with torch.autocast("cpu", torch.bfloat16):
            rounded = decoder.logits({"tokens": row, "documents": DOCUMENTS})
    assert float((exact - rounded.float()).abs().mean()) < 0.03 * float(exact.std())


FLEX = {name: choice for name, choice in EVERY.items() if choice.get("positions") != "relative"}


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile.*")
@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["alone", "packed"])
@pytest.mark.parametrize("choice", FLEX.values(), ids=FLEX.keys())
def test_flex_attention_computes_what_the_other_kernels_compute(
    choice: dict[str, Any], documents: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, inputs = spread_decoder(small_config(**choice)), {"tokens": tokens(2, 30)}
    if documents is not None:
        inputs["documents"] = documents
    with torch.no_grad():
        expected = decoder.logits(inputs)
        monkeypatch.setattr(AttentionInputs, "_kernel", lambda *_, **__: "flex")
        torch.testing.assert_close(decoder.logits(inputs), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("choice", OWN.values(), ids=OWN.keys())
def test_an_int8_model_opens_with_logits_close_to_the_original(choice: dict[str, Any], tmp_path: Path) -> None:
    decoder, row = spread_decoder(small_config(**choice)), tokens(2, 30)
    save_model(decoder, tmp_path / "full")
    metrics = quantize(tmp_path / "full", tmp_path / "int8", Int8Config())
    assert metrics["error_max_steps"] <= 0.5 + 1e-4
    assert quantize(tmp_path / "full", tmp_path / "int4", Int4Config(group_size=8))["error_max_steps"] <= 0.5 + 1e-4
    assert open_model(tmp_path / "int4").config == decoder.config
    with torch.no_grad():
        exact, near = decoder.logits({"tokens": row}), open_model(tmp_path / "int8").logits({"tokens": row})
    assert 0 < float((exact - near).abs().mean()) < 0.05 * float(exact.std())


def test_dropout_drops_its_share_in_training_and_nothing_in_evaluation() -> None:
    decoder, row = spread_decoder(small_config(dropout=0.25)), tokens(2, 30)
    assert torch.equal(decoder.logits({"tokens": row}), decoder.logits({"tokens": row}))
    x_BTD, _ = first_block_inputs(decoder.train(), row)
    assert float((x_BTD == 0).float().mean()) == pytest.approx(0.25, abs=0.04)
    assert not torch.equal(decoder.logits({"tokens": row}), decoder.logits({"tokens": row}))


@pytest.mark.parametrize("choice", [{}, {"attention_soft_cap": 5.0}, OWN["latent"]], ids=["fused", "plain", "latent"])
def test_dropout_applies_to_attention_probabilities_and_sublayer_outputs(choice: dict[str, Any]) -> None:
    block = spread_decoder(small_config(dropout=0.5, **choice)).train().model.layers[0]
    assert isinstance(block, Block)
    _, shared = first_block_inputs(spread_decoder(small_config(**choice)), tokens(1, 9))
    x_BTD = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(1))
    probabilities = [block.self_attn(x_BTD, shared.rotary, shared.plan) for _ in range(400)]
    without_dropout = block.self_attn.eval()(x_BTD, shared.rotary, shared.plan)
    assert not torch.equal(probabilities[0], probabilities[1])
    # Dropout scales up what it keeps, so the mean equals the output without dropout.
    torch.testing.assert_close(
        torch.stack(probabilities).mean(0), without_dropout, atol=0.6 * float(without_dropout.detach().std()), rtol=0
    )
    added = block(x_BTD, shared) - x_BTD
    assert float((block(x_BTD, shared) == x_BTD).float().mean()) == pytest.approx(0.25, abs=0.08) and added.any()


def test_batch_norm_normalizes_over_all_tokens_in_training_and_keeps_running_statistics() -> None:
    ours, theirs = BatchNorm(8, 1e-5), torch.nn.BatchNorm1d(8, eps=1e-5, momentum=0.1)
    for seed in range(3):
        x_BTD = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x_BTD), theirs(x_BTD.flatten(0, 1)).view_as(x_BTD))
    torch.testing.assert_close(ours.eval()(x_BTD), theirs.eval()(x_BTD.flatten(0, 1)).view_as(x_BTD))


def test_learned_positions_end_with_the_context() -> None:
    with pytest.raises(ValueError, match="positions=learned ends with context=32"):
        spread_decoder(small_config(positions="learned")).logits({"tokens": tokens(1, 33)})


def test_gains_start_at_one_and_biases_at_zero() -> None:
    decoder = Decoder(small_config(norm="layer", attention_bias=True, feed_forward_bias=True, qk_norm=True), VOCABULARY)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 1:
            assert torch.all(parameter == (0 if name.endswith(".bias") else 1)), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "latent", "qk_norm": True}, "attention=latent and qk_norm=true"),
        ({"latent_rope_width": 7}, "latent_rope_width=7"),
        ({"relative_buckets": 5}, "relative_buckets=5"),
        ({"width": 36, "heads": 4}, "width=36 over heads=4"),
        ({"rope_original_context": 32}, "rope_original_context=32 is not below context=32"),
        ({"rope_scaling": "llama3", "rope_low_frequency": 4.0}, "rope_low_frequency=4.0"),
        ({"rope_scaling": "yarn", "rope_beta_slow": 40.0}, "rope_beta_slow=40.0"),
    ],
)
def test_incompatible_choices_are_refused_with_their_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_config(**changes)
