"""Encoders, and encoders with decoders, that learned something, as classes of transformers: equal logits, and their weights back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks.base import NetworkBase
from model.networks.config import EncoderConfig, EncoderDecoderConfig
from model.networks.directory import ModelError, load_model, read_config, save_model
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.network import Network
from model.objectives.masked import Masked
from model.objectives.protocol import Objective, mean_loss
from model.objectives.spans import Spans

transformers = pytest.importorskip("transformers")
VOCABULARY, ROWS, LENGTH, GAP = 61, 4, 20, 61
SIZES = {"width": 32, "layers": 2, "heads": 2, "feed_forward": 48, "context": LENGTH, "initial_std": 0.1}
ENCODERS: dict[str, dict[str, Any]] = {
    "tied-swiglu": {},
    "untied-geglu-dropout": {"tied_embeddings": False, "activation": "geglu", "dropout": 0.1, "norm_epsilon": 1e-6},
}
BOTH: dict[str, dict[str, Any]] = {
    "tied-geglu": {},
    "untied-swiglu": {"tied_embeddings": False, "activation": "swiglu", "dropout": 0.1},
    "tied-relu": {"activation": "relu", "relative_buckets": 8, "relative_distance": 12},
    "untied-gelu-tanh": {"tied_embeddings": False, "activation": "gelu_tanh", "norm_epsilon": 1e-5},
}


def encoder(**changes: Any) -> EncoderConfig:
    return EncoderConfig.model_validate({**SIZES, **changes})


def both(**changes: Any) -> EncoderDecoderConfig:
    return EncoderDecoderConfig.model_validate({**SIZES, "sentinels": 8, **changes})


def rows(seed: int) -> dict[str, NDArray[Any]]:
    """Rows that count round and round in steps of 1 to 3, so that what is hidden can be learned."""
    generator = np.random.default_rng(seed)
    start, step = generator.integers(3, 15, (ROWS, 1)), generator.integers(1, 4, (ROWS, 1))
    tokens = (start + step * np.arange(LENGTH + 1)) % 12 + 3
    return {
        "tokens": tokens.astype(np.int32),
        "document": np.zeros_like(tokens, dtype=np.int32),
        "loss": np.ones_like(tokens, dtype=np.bool_),
        "position": np.arange(ROWS) + ROWS * seed,
    }


def trained(config: NetworkBase, objective: Objective, steps: int = 30) -> Network:
    """A network after some steps, whose logits tell tokens apart by what it has learned; in evaluation mode."""
    torch.manual_seed(0)
    network = config.build(VOCABULARY, seed=3).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    losses = []
    for step in range(steps):
        batch = {name: torch.from_numpy(values) for name, values in objective.batch(rows(step)).items()}
        loss = mean_loss(objective, objective.sums({"policy": network}, batch), objective.units(rows(step)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * losses[0], "it has learned"
    return network.eval()


def tokens(length: int = LENGTH) -> Tensor:
    """Rows of which every fifth token is the mask, or the sentinel of a gap."""
    read = torch.from_numpy(rows(99)["tokens"])[:, :length].long()
    read[:, 2::5] = GAP
    return read


def assert_same_there_and_back(network: Network, ours: Tensor, given: Mapping[str, Tensor], folder: Path) -> None:
    """Assert equal logits in the class of transformers that opens the folder, and the same network in what it saves."""
    form = network.config.hub_form()
    assert form is not None
    theirs = getattr(transformers, form.hub.OPENED_BY).from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == form.hub.NAME
    logits = theirs(**given).logits
    torch.testing.assert_close(logits[..., : ours.shape[-1]], ours, atol=1e-5, rtol=1e-5)
    theirs.save_pretrained(folder / "theirs")
    assert read_config(folder / "theirs") == (network.config, VOCABULARY)
    back = load_model(folder / "theirs").state_dict()
    assert all(torch.equal(weight, back[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("choice", ENCODERS.values(), ids=ENCODERS.keys())
@torch.no_grad()
def test_an_encoder_that_fills_gaps_is_eurobert_of_transformers(choice: dict[str, Any], tmp_path: Path) -> None:
    config = encoder(**choice)
    with torch.enable_grad():
        network = trained(config, Masked())
    save_model(network, tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert (fields["vocab_size"], fields["mask_token_id"]) == (VOCABULARY + 1, VOCABULARY)
    assert all(torch.equal(weight, load_model(tmp_path).state_dict()[name]) for name, weight in network.state_dict().items())
    ours = network.logits({"tokens": tokens()})
    assert ours.std() > 0.5, "logits this small would agree whatever is computed"
    assert_same_there_and_back(network, ours, {"input_ids": tokens()}, tmp_path)


@pytest.mark.parametrize("choice", BOTH.values(), ids=BOTH.keys())
@torch.no_grad()
def test_an_encoder_and_decoder_that_write_what_gaps_hide_are_t5_of_transformers(choice: dict[str, Any], tmp_path: Path) -> None:
    config = both(**choice)
    with torch.enable_grad():
        network = trained(config, Spans(most_spans=7))
    save_model(network, tmp_path)
    read, written = tokens(), tokens(7)
    ours = network.logits({"tokens": read, "written": written})
    assert ours.std() > 0.5 and ours.shape[-1] == VOCABULARY + 8
    assert_same_there_and_back(network, ours, {"input_ids": read, "decoder_input_ids": written}, tmp_path)


@torch.no_grad()
def test_t5_of_transformers_writes_greedily_what_ours_writes(tmp_path: Path) -> None:
    with torch.enable_grad():
        network = trained(both(), Spans(most_spans=7), steps=60)
    assert isinstance(network, EncoderDecoder)
    save_model(network, tmp_path)
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    for row in tokens(9).tolist():
        text = [GAP if token == GAP and place < 5 else token for place, token in enumerate(row) if token != GAP or place < 5]
        (ours,) = network.fill([text], 8)
        found = theirs.generate(torch.tensor([text]), max_new_tokens=8, do_sample=False, eos_token_id=GAP + 1)[0, 1:].tolist()
        assert [token for token in found if token != GAP + 1] == ours and ours


def test_queries_go_back_bit_by_bit_where_the_root_of_a_heads_width_is_a_power_of_two() -> None:
    exact = {head: form.exact for head in (2, 4, 8, 16, 32, 64) if (form := both(heads=1, width=max(8, head)).hub_form()) is not None}
    assert exact == {2: False, 4: False, 8: False, 16: True, 32: False, 64: True}


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        (encoder(positions="learned"), "EuroBertForMaskedLM lacks positions=learned"),
        (encoder(norm="layer", activation="gelu"), "EuroBertForMaskedLM lacks norm=layer, activation=gelu"),
        (both(), ""),
    ],
    ids=["positions", "norm-and-activation", "none"],
)
def test_a_form_that_the_class_does_not_compute_is_refused_by_name(config: NetworkBase, refusal: str) -> None:
    assert config.hub_refusal() == refusal and (config.hub_form() is None) == bool(refusal)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (encoder(), {"mask_token_id": 3}, "mask_token_id is 3"),
        (encoder(), {"num_key_value_heads": 1}, "num_key_value_heads is 1"),
        (encoder(), {"rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0}}, "rope_theta is 250000.0"),
        (encoder(), {"mlp_bias": True}, "mlp_bias is True"),
        (both(), {"sentinels": None}, "sentinels or tied_embeddings is missing"),
        (both(), {"scale_decoder_outputs": True}, "scale_decoder_outputs is True"),
        (both(), {"feed_forward_proj": "gated-gelu"}, "feed_forward_proj is 'gated-gelu'"),
        (both(), {"num_decoder_layers": 1}, "num_decoder_layers is 1"),
        (both(), {"vocab_size": 8}, "vocab_size is 8, of which 8 are no text"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_computed_here_is_refused_with_its_value(
    config: NetworkBase, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_model(config.build(VOCABULARY), tmp_path, extra=fields)
    with pytest.raises(ModelError, match=re.escape(message)):
        load_model(tmp_path)
