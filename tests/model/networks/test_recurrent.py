"""The recurrent language model against torch.nn.GRU and its equations, in packed rows, and with its state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.networks.config import RecurrentConfig
from model.networks.directory import load_model, save_model
from model.networks.recurrent import Recurrent
from tests.model.networks.decoders import VOCABULARY, tokens
from tests.model.networks.spread import spread

WIDTH, LAYERS, CONTEXT = 24, 3, 20
DOCUMENTS = torch.tensor([[0] * 20, [0] * 3 + [1] * 11 + [2] * 6, [0] * 1 + [1] * 1 + [2] * 18])
SPANS = [(0, 0, 20), (1, 0, 3), (1, 3, 14), (1, 14, 20), (2, 0, 1), (2, 1, 2), (2, 2, 20)]


def recurrent(**changes: object) -> Recurrent:
    """A small network in evaluation mode whose gains and biases differ from their initial values."""
    config = RecurrentConfig.model_validate({"width": WIDTH, "layers": LAYERS, "context": CONTEXT, "initial_std": 0.3, **changes})
    return spread(Recurrent(config, VOCABULARY, seed=3))


def by_torch(network: Recurrent, row_T: Tensor) -> Tensor:
    """Return the logits of one document from torch's own GRU and RMSNorm, with the network's weights."""
    weights = network.state_dict()
    x_TD = weights["embed_tokens.weight"][row_T]
    for layer in range(LAYERS):
        norm, gru = nn.RMSNorm(WIDTH, 1e-5), nn.GRU(WIDTH, WIDTH)
        norm.load_state_dict({"weight": weights[f"layers.{layer}.input_layernorm.weight"]})
        gru.load_state_dict({name: weights[f"layers.{layer}.gru.{name}"] for name in gru.state_dict()})
        x_TD = x_TD + gru(norm(x_TD))[0]
    last = nn.RMSNorm(WIDTH, 1e-5)
    last.load_state_dict({"weight": weights["norm.weight"]})
    logits_TV: Tensor = last(x_TD) @ weights.get("lm_head.weight", weights["embed_tokens.weight"]).T
    return logits_TV


def by_equations(network: Recurrent, row_T: Tensor) -> Tensor:
    """Return the logits of one document from the equations, token by token, layer by layer."""
    weights: dict[str, Tensor] = {name: tensor.double() for name, tensor in network.state_dict().items()}

    def norm(x_D: Tensor, name: str) -> Tensor:
        return x_D / (x_D.square().mean() + 1e-5).sqrt() * weights[name]

    hidden = [torch.zeros(WIDTH, dtype=torch.float64) for _ in range(LAYERS)]
    logits = []
    for token in row_T.tolist():
        x_D = weights["embed_tokens.weight"][token]
        for layer in range(LAYERS):
            part = f"layers.{layer}.gru."
            y_D, h_D = norm(x_D, f"layers.{layer}.input_layernorm.weight"), hidden[layer]
            from_input = (weights[part + "weight_ih_l0"] @ y_D + weights[part + "bias_ih_l0"]).chunk(3)
            from_state = (weights[part + "weight_hh_l0"] @ h_D + weights[part + "bias_hh_l0"]).chunk(3)
            reset = 1 / (1 + (-(from_input[0] + from_state[0])).exp())
            update = 1 / (1 + (-(from_input[1] + from_state[1])).exp())
            new = (from_input[2] + reset * from_state[2]).tanh()
            hidden[layer] = (1 - update) * new + update * h_D
            x_D = x_D + hidden[layer]
        logits.append(weights["embed_tokens.weight"] @ norm(x_D, "norm.weight"))
    return torch.stack(logits)


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_torchs_gru_run_over_each_document_alone(tied: bool) -> None:
    network, batch = recurrent(tied_embeddings=tied), tokens(3, CONTEXT)
    with torch.no_grad():
        logits_BTV = network.logits({"tokens": batch, "documents": DOCUMENTS})
        assert logits_BTV.std() > 0.3, "logits this small would agree whatever is computed"
        for row, start, end in SPANS:
            torch.testing.assert_close(logits_BTV[row, start:end], by_torch(network, batch[row, start:end]), atol=1e-5, rtol=1e-5)


def test_logits_are_those_of_the_equations_token_by_token() -> None:
    network, batch = recurrent(), tokens(2, CONTEXT)
    with torch.no_grad():
        logits_BTV = network.logits({"tokens": batch})
        for row in range(2):
            torch.testing.assert_close(logits_BTV[row].double(), by_equations(network, batch[row]), atol=1e-5, rtol=1e-5)


def test_changing_one_document_of_a_packed_row_leaves_the_others_logits_bit_equal() -> None:
    network, batch = recurrent(), tokens(3, CONTEXT)
    changed = batch.clone()
    changed[1, 3:14] = (changed[1, 3:14] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = (network.logits({"tokens": one, "documents": DOCUMENTS}) for one in (batch, changed))
    same = torch.ones(3, CONTEXT, dtype=torch.bool)
    same[1, 3:14] = False
    assert before[same].equal(after[same]) and not before[~same].isclose(after[~same]).all()


def test_later_tokens_change_nothing_before_them() -> None:
    network, batch = recurrent(), tokens(1, CONTEXT)
    changed = batch.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = (network.logits({"tokens": one}) for one in (batch, changed))
    assert before[:, :12].equal(after[:, :12]) and not before[:, 12].isclose(after[:, 12]).all()


def test_recomputing_blocks_gives_the_same_gradients_bit_for_bit() -> None:
    gradients = []
    for recompute in (False, True):
        network = recurrent(dropout=0.2).train()
        network.recompute = recompute
        torch.manual_seed(1)
        torch.autograd.backward(network.logits({"tokens": tokens(3, CONTEXT), "documents": DOCUMENTS}).square().sum())
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(one is not None and other is not None and one.equal(other) for one, other in zip(*gradients, strict=True))


def test_a_network_read_from_its_directory_computes_the_same_bits(tmp_path: Path) -> None:
    network, batch = recurrent(tied_embeddings=False), {"tokens": tokens(2, CONTEXT)}
    save_model(network, tmp_path)
    back = load_model(tmp_path)
    assert back.config == network.config and back.vocab_size == VOCABULARY
    assert back.logits(batch).equal(network.logits(batch))
    with pytest.raises(ValueError, match="folio"):
        pytest.importorskip("transformers").AutoModelForCausalLM.from_pretrained(tmp_path)


def test_the_gates_weights_are_matrices_and_everything_else_is_not() -> None:
    roles = recurrent(tied_embeddings=False).roles()
    assert {name for name, role in roles.items() if role == "matrix"} == {
        f"layers.{layer}.gru.weight_{part}_l0" for layer in range(LAYERS) for part in ("ih", "hh")
    }
    assert roles["embed_tokens.weight"] == "embedding" and roles["lm_head.weight"] == "head"
    assert all(roles[name] == "vector" for name in roles if "norm" in name or "bias" in name)


def test_adding_a_layer_changes_no_other_initial_weight() -> None:
    small, large = (RecurrentConfig(width=16, layers=layers).build(VOCABULARY, seed=1).state_dict() for layers in (2, 3))
    assert all(tensor.equal(large[name]) for name, tensor in small.items())
