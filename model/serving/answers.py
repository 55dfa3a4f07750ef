"""Events of an engine as OpenAI's JSON: one object at the end, or chunks of a stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.inference.request import Score
from model.inference.tool_calls import CallForm, CallPart, CallReader
from model.serving.engine import Piece

Spell = Callable[[int], bytes]


@dataclass
class Choice:
    """One reply so far, as it will be told."""

    text: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    reason: str | None = None


@dataclass(frozen=True)
class Usage:
    """How many tokens were read and written; reused: of those read, how many were kept from earlier texts."""

    prompt: int
    written: int
    reused: int = 0

    def body(self) -> dict[str, Any]:
        """Return OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.written,
            "total_tokens": self.prompt + self.written,
            "prompt_tokens_details": {"cached_tokens": self.reused},
        }


class Form:
    """The shape of one kind of answer.

    chat: of a conversation; else of a completion. calls: how calls of tools are written in it; None: it holds none.
    """

    def __init__(
        self, model: str, fingerprint: str | None, spell: Spell, *, chat: bool, scored: bool, calls: CallForm | None = None
    ) -> None:
        self.chat, self._spell, self._scored, self._calls = chat, spell, scored, calls
        self._readers: dict[int, CallReader] = {}
        prefix = "chatcmpl-" if chat else "cmpl-"
        self._head = {"id": prefix + uuid.uuid4().hex, "created": int(time.time()), "model": model, "system_fingerprint": fingerprint}

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        """Return the answer as one object."""
        told = []
        for index, choice in enumerate(choices):
            text, calls = self._read(index, "".join(choice.text), last=True)
            content: dict[str, Any] = {"text": text}
            if self.chat:
                message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text, "refusal": None}
                content = {"message": message | ({"tool_calls": _joined(calls)} if calls else {})}
            scores = self._log_probabilities(choice.pieces, 0)
            told.append({"index": index, **content, "logprobs": scores, "finish_reason": self._reason(index, choice.reason)})
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self._head, "object": kind, "choices": told, "usage": usage.body()}

    def chunk(
        self, index: int, text: str, pieces: Sequence[Piece], *, reason: str | None = None, first: bool = False, before: int = 0
    ) -> dict[str, Any] | None:
        """Return a part of the answer; None if there is nothing to tell yet. before: characters of the reply that came in earlier parts."""
        text, calls = self._read(index, text, last=reason is not None)
        delta: dict[str, Any] = {"role": "assistant"} if first else {}
        if text or first:
            delta["content"] = text
        if calls:
            delta["tool_calls"] = calls
        content: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        scores = self._log_probabilities(pieces, before) if pieces else None
        if self._calls is not None and not delta and reason is None:
            return None
        told = {"index": index, **content, "logprobs": scores, "finish_reason": self._reason(index, reason)}
        return {**self._head, "object": "chat.completion.chunk" if self.chat else "text_completion", "choices": [told]}

    def _read(self, index: int, text: str, *, last: bool) -> tuple[str, list[dict[str, Any]]]:
        """Return the content of a reply's next text, and the parts of calls in it."""
        if self._calls is None:
            return text, []
        reader = self._readers.setdefault(index, CallReader(self._calls))
        content, parts = reader.push(text)
        return content + (reader.finish() if last else ""), [_call_part(part) for part in parts]

    def _reason(self, index: int, reason: str | None) -> str | None:
        called = index in self._readers and self._readers[index].calls
        return "tool_calls" if reason == "stop" and called else reason

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """Return the last part, which holds the usage alone."""
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return {**self._head, "object": kind, "choices": [], "usage": usage.body()}

    def _log_probabilities(self, pieces: Sequence[Piece], before: int) -> dict[str, Any] | None:
        if not self._scored:
            return None
        scored = [(piece.token, piece.score) for piece in pieces if piece.score is not None]
        if self.chat:
            entries = [{**self._entry(token, score.log_probability), "top_logprobs": self._likeliest(score)} for token, score in scored]
            return {"content": entries, "refusal": None}
        offsets = [before]
        for piece in pieces:
            offsets.append(offsets[-1] + len(piece.text))
        return {
            "tokens": [self._shown(token) for token, _ in scored],
            "token_logprobs": [score.log_probability for _, score in scored],
            "top_logprobs": [{self._shown(token): value for token, value in score.likeliest} for _, score in scored],
            "text_offset": offsets[: len(scored)],
        }

    def _likeliest(self, score: Score) -> list[dict[str, Any]]:
        return [self._entry(token, value) for token, value in score.likeliest]

    def _entry(self, token: int, value: float) -> dict[str, Any]:
        return {"token": self._shown(token), "logprob": value, "bytes": list(self._spell(token))}

    def _shown(self, token: int) -> str:
        """Return a token as text, or as its bytes if it is not a whole character, like OpenAI."""
        spelled = self._spell(token)
        try:
            return spelled.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{value:02x}" for value in spelled)


def _call_part(part: CallPart) -> dict[str, Any]:
    """Return a part of a call as OpenAI streams it: the first one names it."""
    if part.name:
        function = {"name": part.name, "arguments": part.arguments}
        return {"index": part.number, "id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
    return {"index": part.number, "function": {"arguments": part.arguments}}


def _joined(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return whole calls from their parts."""
    calls: list[dict[str, Any]] = []
    for part in parts:
        if "id" in part:
            calls.append({name: value for name, value in part.items() if name != "index"})
        else:
            calls[-1]["function"]["arguments"] += part["function"]["arguments"]
    return calls
