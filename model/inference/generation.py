"""One sequence, token by token: each token is yielded as soon as it is chosen.

Guarantee: greedy output is a function of model and prompt; drawn output also of the seed. A stop token ends the
sequence and is not yielded.
Cost: one forward pass over the prompt, then one over a single token for each token yielded.
When it can't: an empty prompt, or one that fills the context, raises ValueError. Generation ends, without an error, when
prompt and reply together fill the model's context.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence

import torch

from model.inference.cache import KeyValueCache
from model.inference.config import SamplingConfig
from model.inference.sampling import next_token
from model.networks.decoder import Decoder


def generate(
    model: Decoder, prompt_ids: Sequence[int], config: SamplingConfig, stop_ids: Collection[int] = (), seed: int = 0
) -> Generator[int, None, None]:
    """Continue `prompt_ids` by at most `config.max_new_tokens` tokens."""
    room = room_for_reply(model, len(prompt_ids))
    return _tokens(model, list(prompt_ids), config, frozenset(stop_ids), seed, min(config.max_new_tokens, room))


def room_for_reply(model: Decoder, prompt_length: int) -> int:
    """Tokens that fit after a prompt; ValueError when there is no prompt or no room."""
    context = model.config.context
    if not 0 < prompt_length < context:
        raise ValueError(
            f"a prompt of {prompt_length} tokens leaves nothing to generate: this model's context is {context} tokens; "
            f"give between 1 and {context - 1}"
        )
    return context - prompt_length


def _tokens(
    model: Decoder, prompt: list[int], config: SamplingConfig, stops: frozenset[int], seed: int, limit: int
) -> Generator[int, None, None]:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    cache = KeyValueCache(model.config.layers)
    feed = prompt
    for _ in range(limit):
        # The mode is left before each yield: a paused generator must not leave its caller without gradients.
        with torch.no_grad():
            logits_BTV = model(torch.tensor([feed], device=device), cache=cache)
            token = next_token(logits_BTV[0, -1], config, generator)
        if token in stops:
            return
        yield token
        feed = [token]
