"""What every kind of network that is trained promises, and that no file asks which kind it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

from model.networks.base import NetworkBase
from model.networks.config import KINDS, NetworkConfig
from model.networks.directory import load_model, save_model
from model.networks.meta import count_parameters
from tests.model.networks.decoders import VOCABULARY, tokens
from tests.model.networks.spread import spread

ROOT = Path(__file__).parents[3]
CONTEXT = 16
OBJECTIVES = {"next_token", "masked", "spans"}


TRAINED = [name for name, kind in KINDS.items() if "gradients" in kind.SUPPORTS]


@pytest.fixture(params=TRAINED)
def config(request: pytest.FixtureRequest) -> NetworkBase:
    found: NetworkBase = TypeAdapter(NetworkConfig).validate_python({"kind": request.param, "width": 32, "layers": 3, "context": CONTEXT})
    return found


def test_each_says_what_it_supports_and_sees_the_past_or_all_or_writes_what_gaps_hide(config: NetworkBase) -> None:
    assert len(config.SUPPORTS & {"causal", "bidirectional", "infilling"}) == 1
    assert "generation" not in config.SUPPORTS or "causal" in config.SUPPORTS


def test_hidden_vectors_are_read_as_logits_of_the_vocabulary(config: NetworkBase) -> None:
    network, batch = config.build(VOCABULARY), {"tokens": tokens(2, CONTEXT)}
    hidden = network(batch)
    assert hidden.shape == (2, CONTEXT, config.width)
    sentinels = getattr(config, "sentinels", 0)
    assert network.logits(batch).equal(network.read(hidden)) and network.read(hidden).shape == (2, CONTEXT, VOCABULARY + sentinels)


def test_every_parameter_has_a_role_and_each_block_has_matrices(config: NetworkBase) -> None:
    network = config.build(VOCABULARY)
    roles, blocks = network.roles(), network.blocks()
    assert set(roles) == {name for name, _ in network.named_parameters()} and len(blocks) == config.layers * config.stacks
    matrices = [{id(p) for p in block.parameters() if p.dim() == 2} for block in blocks]
    named = {id(parameter) for name, parameter in network.named_parameters() if roles[name] == "matrix"}
    assert all(matrices) and named == set().union(*matrices)


def test_what_is_read_outside_its_module_is_said(config: NetworkBase) -> None:
    network = config.build(VOCABULARY)
    outside = {id(weight) for weight in network.read_weights()}
    assert outside <= {id(parameter) for parameter in network.parameters()} and outside


def test_its_size_is_known_without_building_it(config: NetworkBase) -> None:
    assert count_parameters(config, VOCABULARY) == sum(parameter.numel() for parameter in config.build(VOCABULARY).parameters())
    larger = config.resized(64, 4)
    assert (type(larger), larger.width, larger.layers, larger.context) == (type(config), 64, 4, CONTEXT)


def test_a_directory_gives_back_the_network_and_one_of_no_known_kind_is_refused(config: NetworkBase, tmp_path: Path) -> None:
    network, batch = spread(config.build(VOCABULARY)), {"tokens": tokens(2, CONTEXT)}
    save_model(network, tmp_path)
    back = load_model(tmp_path)
    assert back.config == config and back.logits(batch).equal(network.logits(batch))


def test_packed_documents_are_computed_as_they_are_alone(config: NetworkBase) -> None:
    network, batch = spread(config.build(VOCABULARY)), tokens(1, CONTEXT)
    documents = torch.tensor([[0] * 5 + [1] * 11])
    packed = network.logits({"tokens": batch, "documents": documents})
    for part in (slice(0, 5), slice(5, CONTEXT)):
        torch.testing.assert_close(packed[:, part], network.logits({"tokens": batch[:, part]}), atol=1e-5, rtol=1e-5)


def test_a_kind_takes_its_own_keys_alone() -> None:
    for kind in KINDS:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            TypeAdapter(NetworkConfig).validate_python({"kind": kind, "kernel": 3})
    with pytest.raises(ValidationError, match="does not match any of the expected tags: 'decoder', 'hybrid', 'recurrent', 'encoder'"):
        TypeAdapter(NetworkConfig).validate_python({"kind": "convolutional"})


def test_no_source_compares_a_value_with_the_name_of_a_kind() -> None:
    """What a network or an objective can do is asked of it, by `SUPPORTS` and `REQUIRES`."""
    asking = []
    for room in ("flows", "tasks", "model", "data"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare | ast.MatchValue):
                    constants = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                    asking += [f"{path.relative_to(ROOT)}:{node.lineno}"] if constants & {*KINDS, *OBJECTIVES} else []
    assert not asking


def test_opening_draws_nothing_and_gives_the_weights_of_the_file(config: NetworkBase, tmp_path: Path) -> None:
    network = spread(config.build(VOCABULARY))
    save_model(network, tmp_path)
    state = torch.random.get_rng_state()
    opened = load_model(tmp_path)
    assert torch.random.get_rng_state().equal(state)
    found = dict(opened.named_parameters())
    assert found.keys() == dict(network.named_parameters()).keys() and all(weight.requires_grad for weight in found.values())
    assert all(found[name].equal(weight) and not found[name].is_meta for name, weight in network.named_parameters())


def test_an_open_model_keeps_its_weights_when_its_file_is_overwritten(config: NetworkBase, tmp_path: Path) -> None:
    save_model(spread(config.build(VOCABULARY)), tmp_path)
    opened, batch = load_model(tmp_path), {"tokens": tokens(2, CONTEXT)}
    before, path = opened.logits(batch), tmp_path / "model.safetensors"
    with path.open("r+b") as stream:
        stream.write(bytes(path.stat().st_size))
    assert opened.logits(batch).equal(before)


def test_weights_of_half_precision_are_opened_as_fp32(config: NetworkBase, tmp_path: Path) -> None:
    save_model(config.build(VOCABULARY), tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: weight.half() for name, weight in load_file(path).items()}, path, metadata={"format": "pt"})
    assert {weight.dtype for weight in load_model(tmp_path).state_dict().values()} == {torch.float32}
