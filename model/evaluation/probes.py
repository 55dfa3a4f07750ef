"""Probes: the probability of a word after a prompt, at the beginning of a document.

It is the product over the word's tokens, as the tokenizer writes prompt and word together, so it is the probability that the text
continues with these characters, even if they only begin a longer word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.network import Network


def probabilities(model: Network, chat_format: ChatFormat, prompt: str, words: Sequence[str]) -> list[float]:
    """Return the probability of each word after `prompt` and a space, at the cost of a forward pass each.

    Raise ValueError if prompt and word share a token, since then P(word | prompt) is not a product of the model's outputs.
    """
    import torch

    prompt_ids = chat_format.encode_document(prompt)
    device = next(model.parameters()).device
    found: list[float] = []
    for word in words:
        ids = chat_format.encode_document(f"{prompt} {word}")
        if ids[: len(prompt_ids)] != prompt_ids or len(ids) == len(prompt_ids):
            raise ValueError(f"{word!r} shares a token with the end of {prompt!r}: end the prompt at the end of a word")
        if len(ids) > model.config.context:
            raise ValueError(f"{prompt!r} and {word!r} are {len(ids)} tokens; the context is {model.config.context}")
        with torch.no_grad():
            logits_TV = model.logits({"tokens": torch.tensor([ids[:-1]], device=device)})[0, len(prompt_ids) - 1 :]
        chosen = torch.tensor(ids[len(prompt_ids) :], device=device)
        logs = logits_TV.double().log_softmax(-1).gather(1, chosen[:, None])
        found.append(float(logs.sum().exp()))
    return found
