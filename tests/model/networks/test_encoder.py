"""The bidirectional encoder against independent references, in packed rows, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from model.networks.config import EncoderConfig
from model.networks.directory import load_model, save_model
from model.networks.encoder import Encoder
from tests.model.networks.decoders import VOCABULARY, tokens
from tests.model.networks.spread import spread

CONTEXT, MASK = 20, VOCABULARY
DOCUMENTS = torch.tensor([[0] * 20, [0] * 3 + [1] * 11 + [2] * 6])


def encoder(**changes: object) -> Encoder:
    """A small encoder in evaluation mode whose gains differ from their initial values."""
    sizes = {"width": 32, "layers": 2, "heads": 4, "feed_forward": 48, "context": CONTEXT, "initial_std": 0.2}
    return spread(Encoder(EncoderConfig.model_validate({**sizes, **changes}), VOCABULARY, seed=3))


def with_gaps(rows: int) -> Tensor:
    """Rows of which every fifth token is the mask."""
    batch = tokens(rows, CONTEXT)
    batch[:, ::5] = MASK
    return batch


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_logits_are_those_of_a_llama_of_transformers_that_is_shown_later_tokens_too(packed: bool, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    network, batch = encoder(tied_embeddings=tied), with_gaps(2)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY + 1, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.LlamaModel(config).eval()
    theirs.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if name != "lm_head.weight"})
    documents = DOCUMENTS if packed else torch.zeros_like(DOCUMENTS)
    same = documents[:, None, :, None] == documents[:, None, None, :]
    positions = torch.tensor([[*range(20)], [*range(3), *range(11), *range(6)]]) if packed else torch.arange(CONTEXT).expand(2, -1)
    hidden = theirs(batch, attention_mask=torch.where(same, 0.0, torch.finfo(torch.float32).min), position_ids=positions).last_hidden_state
    reference = hidden @ network.state_dict()["embed_tokens.weight" if tied else "lm_head.weight"][:VOCABULARY].T
    ours = network.logits({"tokens": batch, **({"documents": documents} if packed else {})})
    assert ours.std() > 0.3, "logits this small would agree whatever is computed"
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_with_learned_positions_layer_norm_and_gelu_it_is_torchs_own_encoder() -> None:
    network, batch = encoder(positions="learned", norm="layer", activation="gelu"), with_gaps(2)
    weights = network.state_dict()
    x_BTD = weights["embed_tokens.weight"][batch] + weights["embed_positions.weight"][torch.arange(CONTEXT)]
    for layer in range(2):
        part = f"layers.{layer}."
        theirs = nn.TransformerEncoderLayer(32, 4, 48, 0.0, "gelu", batch_first=True, norm_first=True).eval()
        state = {
            name: torch.zeros_like(tensor) for name, tensor in theirs.state_dict().items()
        }  # the encoder's linear layers have no biases
        state["self_attn.in_proj_weight"] = torch.cat([weights[f"{part}self_attn.{name}_proj.weight"] for name in "qkv"])
        state["self_attn.out_proj.weight"] = weights[f"{part}self_attn.o_proj.weight"]
        state["linear1.weight"], state["linear2.weight"] = weights[f"{part}mlp.up_proj.weight"], weights[f"{part}mlp.down_proj.weight"]
        for number, norm in (("1", "input_layernorm"), ("2", "post_attention_layernorm")):
            state |= {f"norm{number}.{kind}": weights[f"{part}{norm}.{kind}"] for kind in ("weight", "bias")}
        theirs.load_state_dict(state)
        x_BTD = theirs(x_BTD)
    hidden = nn.functional.layer_norm(x_BTD, (32,), weights["norm.weight"], weights["norm.bias"])
    torch.testing.assert_close(
        network.logits({"tokens": batch}), hidden @ weights["embed_tokens.weight"][:VOCABULARY].T, atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_token_sees_all_of_its_document_and_bits_of_other_documents_stay() -> None:
    network, batch = encoder(), tokens(2, CONTEXT)
    changed = batch.clone()
    changed[1, 13] = (changed[1, 13] + 1) % VOCABULARY  # the last token of the middle document
    before, after = (network.logits({"tokens": one, "documents": DOCUMENTS}) for one in (batch, changed))
    inside = torch.zeros(2, CONTEXT, dtype=torch.bool)
    inside[1, 3:14] = True
    assert before[~inside].equal(after[~inside])
    assert (before[inside] != after[inside]).any(dim=-1).all(), "earlier tokens see the last one"


@torch.no_grad()
def test_only_the_embeddings_hold_the_mask() -> None:
    network = encoder()
    assert network.embed_tokens.weight.shape[0] == VOCABULARY + 1
    assert network.logits({"tokens": with_gaps(1)}).shape == (1, CONTEXT, VOCABULARY)


def test_an_encoder_does_not_write_and_a_width_that_heads_do_not_divide_is_refused() -> None:
    network = encoder()
    assert "generation" not in network.config.SUPPORTS and "causal" not in network.config.SUPPORTS
    with pytest.raises(ValueError, match="kind=encoder writes no text"):
        network.decoding()
    with pytest.raises(ValidationError, match=r"width=32 over heads=3.*choose a multiple of 6"):
        EncoderConfig(width=32, heads=3)


def test_recomputing_blocks_gives_the_same_gradients_bit_for_bit() -> None:
    gradients = []
    for recompute in (False, True):
        network = encoder(dropout=0.2).train()
        network.recompute = recompute
        torch.manual_seed(1)
        torch.autograd.backward(network.logits({"tokens": with_gaps(2), "documents": DOCUMENTS}).square().sum())
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(one is not None and other is not None and one.equal(other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("changes", [{}, {"tied_embeddings": False, "positions": "sinusoidal"}])
def test_a_network_read_from_its_directory_computes_the_same_bits(changes: dict[str, object], tmp_path: Path) -> None:
    network, batch = encoder(**changes), {"tokens": with_gaps(2)}
    save_model(network, tmp_path)
    back = load_model(tmp_path)
    assert back.config == network.config and back.vocab_size == VOCABULARY
    assert back.logits(batch).equal(network.logits(batch))


def test_roles_are_those_of_a_transformer() -> None:
    roles = encoder(positions="learned", tied_embeddings=False).roles()
    assert {role for name, role in roles.items() if name.startswith("layers.") and name.endswith("proj.weight")} == {"matrix"}
    assert roles["embed_tokens.weight"] == roles["embed_positions.weight"] == "embedding" and roles["lm_head.weight"] == "head"
