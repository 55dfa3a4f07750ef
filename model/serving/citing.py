"""Chat answers from documents: passages go into a request, and the answer says what it cites in a field of its own.

`citations` stands beside `choices`: a list with an entry for each passage that the model was shown, by choice; empty where none was found
or fits into the context. A stream brings it in a last chunk without choices.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from starlette.responses import JSONResponse, Response, StreamingResponse

from model.inference.chat_format import ChatFormat
from model.inference.documents import Documents, Passage, cited, fits_in, with_passages
from model.rewards.answers import answer_of
from model.serving.messages import ChatMessage
from model.serving.schema import ChatRequest

RESERVED = 256  # tokens that are left for a reply where the request does not say how long it may be
DONE = b"data: [DONE]"


class Shown(NamedTuple):
    """A request's question, and the passages that its prompt shows."""

    question: str
    passages: Sequence[Passage]
    documents: Documents

    def citations(self, replies: Sequence[str]) -> list[dict[str, Any]]:
        """Return what each reply cites."""
        return [
            {"choice": choice, **citation.body()}
            for choice, reply in enumerate(replies)
            for citation in cited(answer_of(reply), self.question, self.passages, self.documents.supports)
        ]


def with_documents(asked: ChatRequest, documents: Documents, chat_format: ChatFormat, context: int) -> tuple[ChatRequest, Shown | None]:
    """Return the request with passages in its last message, and what it shows, which may be none; None if nobody asks in it."""
    messages, tools = [message.plain for message in asked.messages], [tool.told for tool in asked.offered]
    last = messages[-1]
    if last["role"] != "user":
        return asked, None
    fits = fits_in(chat_format, context, asked.longest or RESERVED, tools)
    # With `auto` older messages give way to passages; else they all stay, and passages take what is left.
    around = (
        [*(messages[:1] if messages[0]["role"] == "system" and len(messages) > 1 else []), last] if asked.truncation == "auto" else messages
    )
    told, passages = with_passages(around, documents.retrieve(last["content"]), fits)
    if not passages:
        return asked, Shown(last["content"], (), documents)
    message = ChatMessage(role="user", content=told[-1]["content"], name=asked.messages[-1].name)
    return asked.model_copy(update={"messages": [*asked.messages[:-1], message]}), Shown(last["content"], passages, documents)


def with_citations(response: Response, shown: Shown) -> Response:
    """Return a response with the citations of its replies."""
    if isinstance(response, StreamingResponse):
        response.body_iterator = _cited_stream(response.body_iterator, shown)
        return response
    body = json.loads(bytes(response.body))
    replies = [choice["message"].get("content") or "" for choice in body["choices"]]
    return JSONResponse({**body, "citations": shown.citations(replies)})


async def _cited_stream(events: Any, shown: Shown) -> AsyncIterator[bytes]:
    replies: dict[int, str] = {}
    head: dict[str, Any] = {}
    try:
        async for event in events:
            if event.startswith(DONE):
                told = {**head, "choices": [], "citations": shown.citations([replies[choice] for choice in sorted(replies)])}
                yield b"data: " + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
            else:
                chunk = json.loads(event.removeprefix(b"data: "))
                head = {name: chunk[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in chunk}
                for choice in chunk.get("choices", ()):
                    replies[choice["index"]] = replies.get(choice["index"], "") + (choice["delta"].get("content") or "")
            yield event
    finally:
        await events.aclose()  # or a client that leaves would keep its rows
