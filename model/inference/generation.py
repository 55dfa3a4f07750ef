"""Replies to one prompt, token by token, and to many at once.

Greedy output is a function of model and prompt; sampled output also of the seed. In a batch each prompt gets the same reply as alone, up to
rounding where two logits are nearly equal. Cost: one pass over the prompts, then one over a single token of each reply for each token
written; as replies end, waiting prompts take their rows.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import NamedTuple

from model.inference.batch import Batch
from model.inference.config import SamplingConfig
from model.inference.request import Request
from model.inference.streams import finish
from model.networks.decoding import DecodingNetwork


class Completion(NamedTuple):
    """A sampled reply: its tokens, a stop token included, and the log-probability in nats of each when it was drawn.

    `ended`: the last one is a stop token.
    """

    tokens: list[int]
    log_probabilities: list[float]
    ended: bool


def generate(
    network: DecodingNetwork, prompt_ids: Sequence[int], config: SamplingConfig, stop_ids: Collection[int] = (), seed: int = 0
) -> Generator[int, None, None]:
    """Yield up to `config.max_new_tokens` tokens after `prompt_ids`, each once it is chosen.

    Generation ends before a stop token, or when the context is full. Raise ValueError, at the call, for a prompt that is empty or fills
    the context.
    """
    return _tokens(network, request_for(network, prompt_ids, config, frozenset(stop_ids), seed))


def generate_batch(
    network: DecodingNetwork,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[list[int]]:
    """Return the greedy continuation of each prompt, in order, without stop tokens; `batch` is the most rows at once.

    Raise ValueError, before any work, for a prompt that is empty or fills the context.
    """
    config, stops = SamplingConfig(max_new_tokens=max_new_tokens), frozenset(stop_ids)
    requests = [request_for(network, prompt, config, stops, 0) for prompt in prompts]
    finish(network, requests, batch)
    return [request.tokens[:-1] if request.ended else request.tokens for request in requests]


def sample_batch(
    network: DecodingNetwork,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: SamplingConfig,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[Completion]:
    """Return a sampled completion of each prompt, in order; each depends on its own prompt and seed alone, up to rounding.

    Raise ValueError as `generate_batch` does, and for logits that are not numbers.
    """
    stops = frozenset(stop_ids)
    requests = [request_for(network, prompt, config, stops, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
    finish(network, requests, batch)
    return [Completion(request.tokens, request.log_probabilities, request.ended) for request in requests]


def request_for(network: DecodingNetwork, prompt: Sequence[int], config: SamplingConfig, stops: frozenset[int], seed: int) -> Request:
    """Return a request that the network can fulfil. Raise ValueError, saying why, if it can't."""
    context = network.context
    if not 0 < len(prompt) < context:
        raise ValueError(
            f"a prompt of {len(prompt)} tokens cannot be continued: this model's context is {context} tokens; "
            f"give between 1 and {context - 1}"
        )
    unknown = [token for token, _ in config.logit_bias if token >= network.vocab_size]
    if unknown:
        raise ValueError(f"logit_bias names token {unknown[0]}, and this model has tokens 0 to {network.vocab_size - 1}")
    return Request(list(prompt), config, min(config.max_new_tokens, context - len(prompt)), stops, seed)


def _tokens(network: DecodingNetwork, request: Request) -> Generator[int, None, None]:
    batch = Batch(network)
    batch.join([request])
    while not request.ended:
        yield request.tokens[-1]
        if request.finished:
            return
        batch.step()
