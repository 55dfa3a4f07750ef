"""Vectors of texts: for every network the mean of its hidden vectors, whatever other texts share the pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.inference.chat_format import ChatFormat
from model.inference.embed import Embedder, HiddenVectors, WholeTexts, embed
from model.networks.config import EncoderConfig, RecurrentConfig
from model.networks.network import Network
from tests.model.networks.decoders import EVERY, VOCABULARY, small_config, spread_decoder
from tests.model.networks.spread import spread

BEGIN = 1
TEXTS = [[BEGIN, 7, 8, 9], [BEGIN, *range(10, 40)], [BEGIN, 5], [12, 13, 14, 15, 16, 17], list(range(20, 52))]


def network_of(name: str) -> Network:
    if name == "recurrent":
        return spread(RecurrentConfig(width=32, layers=2, context=32, initial_std=0.2).build(VOCABULARY, seed=3)).eval()
    if name.startswith("encoder"):
        positions = name.partition("-")[2]
        config = EncoderConfig.model_validate(
            {"width": 32, "layers": 2, "heads": 4, "feed_forward": 64, "context": 32, "initial_std": 0.2, "positions": positions}
        )
        return spread(config.build(VOCABULARY, seed=3)).eval()
    return spread_decoder(small_config(**EVERY[name])).eval()


def reader_of(network: Network) -> HiddenVectors:
    return network.decoding() if "generation" in network.config.SUPPORTS else WholeTexts(network)


def plain(network: Network, ids: list[int]) -> torch.Tensor:
    """The mean of the hidden vectors after the first token, one text alone, by the network as it trains."""
    with torch.no_grad():
        x_TD = network({"tokens": torch.tensor([ids])})[0]
    return functional.normalize(x_TD[1 if ids[0] == BEGIN else 0 :].mean(0), dim=0)


@pytest.mark.parametrize("name", [*EVERY, "recurrent", "encoder-rope", "encoder-learned", "encoder-sinusoidal"])
def test_a_vector_is_the_mean_of_the_text_s_own_hidden_vectors_alone_or_among_others(name: str) -> None:
    network = network_of(name)
    reader = reader_of(network)
    for ids, found in zip(TEXTS, embed(reader, TEXTS, BEGIN), strict=True):
        torch.testing.assert_close(torch.tensor(found), plain(network, ids), atol=3e-5, rtol=1e-4)
        assert sum(value * value for value in found) == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(embed(reader, [ids], BEGIN)[0], found, atol=3e-5, rtol=1e-4)


def test_many_texts_keep_their_order_over_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("recurrent")
    alone = [embed(network.decoding(), [ids], BEGIN)[0] for ids in TEXTS]
    monkeypatch.setattr("model.inference.embed.READ_AT_ONCE", 40)
    for found, expected in zip(embed(network.decoding(), TEXTS, BEGIN), alone, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("ids", "said"),
    [([], "text 1 is empty"), ([BEGIN], "text 1 is empty"), ([3] * 33, "text 1 is 33 tokens, and this model reads at most 32"),
     ([VOCABULARY], f"holds token {VOCABULARY}, and this model has tokens 0 to")],
)  # fmt: skip
def test_a_text_that_can_t_be_read_is_named(ids: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        embed(network_of("recurrent").decoding(), [[BEGIN, 4], ids], BEGIN)


def test_a_text_longer_than_the_context_is_the_mean_of_its_pieces_by_their_lengths(
    model_dir: Path, tokenizer_dir: Path, chat_format: ChatFormat
) -> None:
    opened = Embedder(model_dir, tokenizer_dir)
    text = "Ada walked from Avel to Brin on day 3, cafe au lait in hand. " * 6
    ids, room = chat_format.encode_text(text), opened.context - 1
    pieces = [ids[start : start + room] for start in range(0, len(ids), room)]
    assert len(pieces) > 1
    reader = opened.reader
    parts = np.array(embed(reader, [[chat_format.bos_id, *piece] for piece in pieces], chat_format.bos_id))
    expected = (parts * np.array([[len(piece)] for piece in pieces])).sum(0)
    whole, nothing = opened.vectors([text, ""])
    assert np.allclose(whole, expected / np.linalg.norm(expected), atol=1e-5) and not nothing.any()
