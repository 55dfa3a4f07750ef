"""Who criticizes and revises answers: the model itself, or one behind an address that speaks OpenAI's API.

A critic behind an address that speaks OpenAI's chat completions, by OpenAI's own client.

What is there answers as it likes: a seed is sent, and another run may still bring other replies. So each is written down before it is used,
and a run that was killed asks only for those that lack. The key is read from the environment and is written nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol

from openai import APIError, BadRequestError, OpenAI

from data.shards.address import Address
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.networks.network import Network
from model.pairing.config import ConstitutionPairs, EndpointCritic

Messages = Sequence[Mapping[str, Any]]
Problem = Literal["", "empty", "unended", "too_long", "refused"]


class Reply(NamedTuple):
    """A critic's reply. `problem`: why it can't be used: nothing is said, it does not end, it has no room, or it was withheld."""

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
        return Endpoint(critic, config.max_new_tokens, journal)
    sampling = SamplingConfig(temperature=critic.temperature, max_new_tokens=config.max_new_tokens)
    return OwnCritic(model, chat_format, sampling)


LIMIT, OTHER_LIMIT = "max_tokens", "max_completion_tokens"
"""What the longest reply is called: by most addresses, and by those of models that refuse the first name."""


class Spent(NamedTuple):
    """Tokens read and written for replies, and for how many of those the address did not count any."""

    read: int
    written: int
    uncounted: int


class EndpointError(RuntimeError):
    """An address does not answer, or answers something else than a reply."""


class Endpoint:
    """See the module. Raise EndpointError for a key that the environment lacks."""

    def __init__(self, config: Address, max_new_tokens: int, journal: Path) -> None:
        key = os.environ.get(config.key_variable, "") if config.key_variable else "none"
        if not key:
            raise EndpointError(
                f"key_variable={config.key_variable!r} of {config.url}, and the environment has no such variable; set it to the key"
            )
        self.name = config.model
        self._config, self._most = config, max_new_tokens
        self._client = OpenAI(base_url=config.url, api_key=key, timeout=config.timeout_seconds, max_retries=config.tries - 1)
        self._limit = LIMIT
        self._journal, self._lock = journal, Lock()
        self._known = _read_journal(journal)
        self._spent: dict[str, Spent] = {}

    @property
    def spent(self) -> Spent:
        """The tokens of all replies so far, those kept from before a kill too, as the address counts them."""
        replies = self._spent.values()
        return Spent(*map(sum, zip(*replies, strict=True))) if replies else Spent(0, 0, 0)

    def replies(self, conversations: Sequence[Messages], seeds: Sequence[int]) -> list[Reply]:
        """Return the reply to each conversation, in order; raise EndpointError if one can't be had. Those that came are kept."""
        pool = ThreadPoolExecutor(self._config.at_once)
        try:
            asked = [pool.submit(self._reply, messages, seed) for messages, seed in zip(conversations, seeds, strict=True)]
            return [reply.result() for reply in asked]
        except APIError as error:
            raise EndpointError(
                f"{self._config.url} brought no reply of {self._config.model}: {error}. What it said is kept: run the same again "
                "when it answers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure nothing more is asked

    def _reply(self, messages: Messages, seed: int) -> Reply:
        request = {
            "model": self._config.model,
            "messages": [{"role": message["role"], "content": message["content"]} for message in messages],
            "temperature": self._config.temperature,
            LIMIT: self._most,
            "seed": seed % 2**31,
        }
        asked = hashlib.sha256(json.dumps([self._config.url, request], sort_keys=True).encode()).hexdigest()
        if asked not in self._known:
            self._keep(asked, self._ask(request))
        said = self._known[asked]
        self._spent[asked] = Spent(said.get("read", 0), said.get("written", 0), int(not said.get("read")))
        if said["ended_by"] == "content_filter":
            return Reply("", "refused")
        return judged(said["text"], ended=said["ended_by"] == "stop")

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        limit = self._limit
        try:
            answer = self._client.chat.completions.create(**{limit if name == LIMIT else name: value for name, value in request.items()})
        except BadRequestError as error:
            if limit != LIMIT or OTHER_LIMIT not in str(error):
                raise
            self._limit = OTHER_LIMIT
            return self._ask(request)
        if not getattr(answer, "choices", None):
            raise EndpointError(f"{self._config.url} doesn't answer as OpenAI's chat completions do; correct the url")
        choice = answer.choices[0]
        text = (choice.message.content or "").encode(errors="replace").decode()  # JSON may hold half a character
        used = answer.usage
        tokens = {"read": used.prompt_tokens if used else 0, "written": used.completion_tokens if used else 0}
        return {"text": text, "ended_by": choice.finish_reason, **tokens}

    def _keep(self, asked: str, said: dict[str, Any]) -> None:
        with self._lock:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"asked": asked, **said}) + "\n")
            self._known[asked] = said


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Return what was said before a kill; a last line that was cut is asked for again."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        path.write_text("".join(lines[:-1]), encoding="utf-8")
    return {line.pop("asked"): line for line in whole}
