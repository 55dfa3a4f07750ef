"""Who criticizes and revises answers: the model itself, or one behind an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.networks.network import Network
from model.pairing.config import ConstitutionPairs, EndpointCritic

Messages = Sequence[Mapping[str, Any]]
Problem = Literal["", "empty", "unended", "too_long", "refused"]


class Reply(NamedTuple):
    """What a critic says. `problem`: why it can't be used: nothing is said, it does not end, it has no room, or it was withheld."""

    text: str
    problem: Problem = ""


class Critic(Protocol):
    """Replies to conversations, each of which ends with a request."""

    name: str

    def replies(self, conversations: Sequence[Messages], seeds: Sequence[int]) -> list[Reply]:
        """Return the reply to each conversation, in order."""


class OwnCritic:
    """The model that is tuned. Replies follow from conversation and seed alone, up to rounding."""

    name = "own"

    def __init__(self, model: Network, chat_format: ChatFormat, sampling: SamplingConfig) -> None:
        self._decoding, self._format, self._sampling = model.decoding(), chat_format, sampling

    def replies(self, conversations: Sequence[Messages], seeds: Sequence[int]) -> list[Reply]:
        """Return the reply to each conversation, in order; one that fills the context has none."""
        prompts = [self._format.encode_chat(messages) for messages in conversations]
        fitting = [number for number, prompt in enumerate(prompts) if len(prompt) < self._decoding.context]
        found = [Reply("", "too_long")] * len(prompts)
        said = sample_batch(
            self._decoding,
            [prompts[number] for number in fitting],
            [seeds[number] for number in fitting],
            self._sampling,
            self._format.stop_ids,
        )
        for number, completion in zip(fitting, said, strict=True):
            found[number] = judged(self._format.decode(completion.tokens), ended=completion.ended)
        return found


def judged(text: str, *, ended: bool) -> Reply:
    """Return a reply without the space around it, and whether it can be used."""
    text = text.strip()
    return Reply(text, "" if text and ended else "empty" if ended else "unended")


def build_critic(config: ConstitutionPairs, model: Network, chat_format: ChatFormat, journal: Path) -> Critic:
    """Return the config's critic. `journal`: a file that survives a kill, for replies that are paid for."""
    critic = config.critic
    if isinstance(critic, EndpointCritic):
        from model.pairing.endpoint import Endpoint

        return Endpoint(critic, config.max_new_tokens, journal)
    sampling = SamplingConfig(temperature=critic.temperature, max_new_tokens=config.max_new_tokens)
    return OwnCritic(model, chat_format, sampling)
