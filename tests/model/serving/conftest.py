"""One server of tiny models for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
import torch

from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig, EncoderConfig, RecurrentConfig
from model.networks.decoder import Decoder
from model.networks.network import Network
from model.serving.own import OwnModel
from model.serving.served import About
from model.serving.vectors import OwnEncoder
from tests.model.conftest import random_decoder
from tests.model.serving.running import LIMITS, own_model, serving


@pytest.fixture(scope="module")
def tiny(decoder: Decoder, chat_format: ChatFormat) -> OwnModel:
    """The tiny decoder, served."""
    return own_model(decoder, chat_format)


@pytest.fixture(scope="module")
def networks(decoder: Decoder) -> dict[str, Network]:
    """What the models at `address` compute, by their names."""
    gru = RecurrentConfig(width=32, layers=1, context=64, initial_std=0.4).build(decoder.vocab_size, seed=3).eval()
    encoder = EncoderConfig(width=32, layers=1, heads=4, feed_forward=64, context=64).build(decoder.vocab_size, seed=2).eval()
    return {"tiny": decoder, "drafted": decoder, "gru": gru, "vectors": encoder}


@pytest.fixture(scope="module")
def address(tiny: OwnModel, networks: dict[str, Network], decoder: Decoder, chat_format: ChatFormat) -> Iterator[str]:
    """A server of a decoder, the same with a draft, gated recurrent units, and an encoder."""
    about = About("vectors", [], 64, 1, None, ("embeddings",), "folio")
    drafted = own_model(decoder, chat_format, "drafted", draft=random_decoder(decoder.vocab_size, seed=5))
    gru = own_model(networks["gru"], chat_format, "gru")
    with serving([tiny, drafted, gru, OwnEncoder(networks["vectors"], chat_format, about, LIMITS)]) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def endless(chat_format: ChatFormat) -> Decoder:
    """A decoder of a long context that never ends a text, however its tokens are drawn.

    The first number of every hidden vector is positive, and only the stop tokens' logits read it, by a large negative weight.
    """
    config = DecoderConfig(width=32, layers=1, heads=4, kv_heads=2, feed_forward=64, context=8192, tied_embeddings=False, initial_std=0.3)
    decoder = Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=1).eval()
    stops = sorted(chat_format.stop_ids)
    with torch.no_grad():
        for name, weight in decoder.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[0] = 0
            elif name.endswith("embed_tokens.weight"):
                weight[:, 0] = 1
            elif name == "lm_head.weight":
                weight[:, 0], weight[stops] = 0, 0
                weight[stops, 0] = -1000
    return decoder
