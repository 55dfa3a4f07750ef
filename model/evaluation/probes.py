"""P(word | beginning of a document): looking straight at what a model expects.

Guarantee: the probability is the product over the word's tokens, as the tokenizer writes prompt and word together; so
it is the probability that the text goes on with these characters, whatever word they begin.
Cost: one forward pass a prompt and word.
When it can't: where prompt and word share a token, P(word | prompt) is no product of the model's outputs: ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoder import Decoder


def probabilities(model: Decoder, chat_format: ChatFormat, prompt: str, words: Sequence[str]) -> list[float]:
    """The probability of each word after `prompt` and a space, at the beginning of a document."""
    import torch

    given = chat_format.encode_document(prompt)
    device = next(model.parameters()).device
    found: list[float] = []
    for word in words:
        whole = chat_format.encode_document(f"{prompt} {word}")
        if whole[: len(given)] != given or len(whole) == len(given):
            raise ValueError(f"{word!r} shares a token with the end of {prompt!r}: end the prompt at the end of a word")
        if len(whole) > model.config.context:
            raise ValueError(f"{prompt!r} and {word!r} are {len(whole)} tokens; the context is {model.config.context}")
        with torch.no_grad():
            logits_TV = model(torch.tensor([whole[:-1]], device=device))[0, len(given) - 1 :]
        chosen = torch.tensor(whole[len(given) :], device=device)
        logs = logits_TV.double().log_softmax(-1).gather(1, chosen[:, None])
        found.append(float(logs.sum().exp()))
    return found
