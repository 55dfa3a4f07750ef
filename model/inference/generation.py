"""Generation of one sequence; each token is yielded as soon as it is chosen.

Greedy output is a function of model and prompt; sampled output also of the seed. Cost: one forward pass over the prompt, then one over a
single token for each token yielded.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence

import torch

from model.inference.config import SamplingConfig
from model.inference.sampling import next_token
from model.networks.base import NetworkBase
from model.networks.network import Network


def generate(
    model: Network, prompt_ids: Sequence[int], config: SamplingConfig, stop_ids: Collection[int] = (), seed: int = 0
) -> Generator[int, None, None]:
    """Yield up to `config.max_new_tokens` tokens after `prompt_ids`.

    Generation ends before a stop token, or when the context is full. Raise ValueError, at the call, for a prompt that is empty or fills
    the context.
    """
    room = room_for_reply(model, len(prompt_ids))
    return _tokens(model, list(prompt_ids), config, frozenset(stop_ids), seed, min(config.max_new_tokens, room))


def room_for_reply(model: Network, prompt_length: int) -> int:
    """Return how many tokens fit after a prompt; raise ValueError if it is empty or leaves no room, or if the network does not generate."""
    require_generation(model.config)
    context = model.config.context
    if not 0 < prompt_length < context:
        raise ValueError(
            f"a prompt of {prompt_length} tokens cannot be continued: this model's context is {context} tokens; "
            f"give between 1 and {context - 1}"
        )
    return context - prompt_length


def require_generation(config: NetworkBase) -> None:
    """Raise ValueError unless a network of this config continues texts."""
    if "generation" not in config.SUPPORTS:
        raise ValueError(f"a network of kind={config.kind} writes no text: it can be neither asked nor talked to")


def _tokens(
    model: Network, prompt: list[int], config: SamplingConfig, stops: frozenset[int], seed: int, limit: int
) -> Generator[int, None, None]:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    state = model.new_state(1)
    feed = prompt
    for _ in range(limit):
        # Leave no_grad before each yield, or a paused generator would switch off gradients for its caller.
        with torch.no_grad():
            logits_BTV = model.logits({"tokens": torch.tensor([feed], device=device)}, state)
            token = next_token(logits_BTV[0, -1], config, generator)
        if token in stops:
            return
        yield token
        feed = [token]
