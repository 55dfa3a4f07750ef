"""The decoder against transformers, packed documents, the cache, and initial weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.layers.positions import positions_in_documents
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import ModelError, load_model, read_config, save_model
from model.networks.meta import count_parameters

VOCABULARY = 97
SMALL = DecoderConfig(width=32, layers=3, heads=4, kv_heads=2, feed_forward=48, context=64, initial_std=0.2)


def tokens(rows: int, time: int, seed: int = 1) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_logits_equal_those_of_transformers_loaded_from_the_saved_directory(tmp_path: Path, tied: bool, kv_heads: int) -> None:
    from transformers import LlamaForCausalLM

    config = SMALL.model_copy(update={"tied_embeddings": tied, "kv_heads": kv_heads, "rope_theta": 500.0})
    decoder = Decoder(config, VOCABULARY, seed=3)
    save_model(decoder, tmp_path)
    reference = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    batch = tokens(3, 40)
    with torch.no_grad():
        ours, theirs = decoder.logits({"tokens": batch}), reference(batch).logits
    assert ours.std() > 0.5, "logits this small would agree whatever is computed"
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_saved_decoder_loads_bit_equal_and_saves_to_the_same_bytes(tmp_path: Path) -> None:
    decoder = Decoder(SMALL, VOCABULARY, seed=3)
    save_model(decoder, tmp_path / "one")
    back = load_model(tmp_path / "one")
    save_model(back, tmp_path / "two")
    assert read_config(tmp_path / "two") == (SMALL, VOCABULARY)
    assert torch.equal(decoder.logits({"tokens": tokens(1, 9)}), back.logits({"tokens": tokens(1, 9)}))
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_directory_with_an_unsupported_field_is_refused_by_field(tmp_path: Path) -> None:
    save_model(Decoder(SMALL, VOCABULARY), tmp_path, extra={"hidden_act": "relu"})
    with pytest.raises(ModelError, match="hidden_act is 'relu'"):
        load_model(tmp_path)


def test_changing_one_packed_document_leaves_its_neighbours_logits_bit_equal() -> None:
    decoder = Decoder(SMALL, VOCABULARY)
    documents = torch.tensor([[0] * 10 + [1] * 15 + [2] * 15, [0] * 40])
    before = tokens(2, 40)
    after = before.clone()
    after[0, 10:25] = (after[0, 10:25] + 1) % VOCABULARY
    with torch.no_grad():
        one, two = (decoder.logits({"tokens": batch, "documents": documents}) for batch in (before, after))
    assert torch.equal(one[0, :10], two[0, :10])
    assert torch.equal(one[0, 25:], two[0, 25:])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0, 10:25], two[0, 10:25])


def test_a_packed_document_gets_the_logits_that_it_gets_alone() -> None:
    decoder = Decoder(SMALL, VOCABULARY)
    row = tokens(1, 40)
    documents = torch.tensor([[0] * 10 + [1] * 30])
    with torch.no_grad():
        packed, alone = decoder.logits({"tokens": row, "documents": documents})[:, 10:], decoder.logits({"tokens": row[:, 10:]})
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)


def test_positions_restart_at_each_document() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 2, 2], [5, 5, 5, 5, 5, 6]])
    assert positions_in_documents(documents).tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 0]]


def test_no_logit_depends_on_a_later_token() -> None:
    decoder = Decoder(SMALL, VOCABULARY)
    row = tokens(1, 20)
    other = row.clone()
    other[0, 12:] = (other[0, 12:] + 1) % VOCABULARY
    with torch.no_grad():
        assert torch.equal(decoder.logits({"tokens": row})[:, :12], decoder.logits({"tokens": other})[:, :12])


def test_weights_depend_on_the_seed_and_not_on_the_number_of_layers() -> None:
    one, same, other = (dict(Decoder(SMALL, VOCABULARY, seed=seed).named_parameters()) for seed in (1, 1, 2))
    name = "model.layers.0.self_attn.q_proj.weight"
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one[name], other[name])
    deeper = Decoder(SMALL.model_copy(update={"layers": 5}), VOCABULARY, seed=1)
    assert torch.equal(one[name], deeper.get_parameter(name))


def test_residual_outputs_start_smaller_than_other_weights() -> None:
    config = SMALL.model_copy(update={"width": 128, "feed_forward": 256})
    decoder = Decoder(config, VOCABULARY)
    std = {name: float(parameter.detach().std()) for name, parameter in decoder.named_parameters() if parameter.dim() > 1}
    assert std["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(0.2, rel=0.05)
    assert std["model.layers.0.mlp.down_proj.weight"] == pytest.approx(0.2 / 6**0.5, rel=0.05)


def test_the_config_counts_the_parameters_that_the_decoder_has() -> None:
    for tied in (True, False):
        config = SMALL.model_copy(update={"tied_embeddings": tied})
        assert count_parameters(config, VOCABULARY) == sum(p.numel() for p in Decoder(config, VOCABULARY).parameters())


@pytest.mark.parametrize(("field", "value"), [("width", 30), ("kv_heads", 3)])
def test_a_shape_that_cannot_be_built_is_refused_with_its_value(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}={value}"):
        DecoderConfig.model_validate({**SMALL.model_dump(), field: value})


def test_zero_outputs_make_each_block_start_as_the_identity() -> None:
    batch = tokens(2, 12)
    outputs = {zero: Decoder(SMALL.model_copy(update={"zero_outputs": zero}), VOCABULARY, seed=3) for zero in (True, False)}
    with torch.no_grad():
        for zero, decoder in outputs.items():
            unchanged = decoder.model.norm(decoder.model.embed_tokens(batch))
            assert torch.equal(decoder({"tokens": batch}), unchanged) is zero
    names = dict(outputs[False].named_parameters())
    for name, parameter in outputs[True].named_parameters():
        assert bool(parameter.count_nonzero() == 0) is name.endswith(("o_proj.weight", "down_proj.weight")), name
        if parameter.count_nonzero():
            assert torch.equal(parameter, names[name]), name
