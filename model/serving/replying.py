"""From an engine's thread to a response: all replies to one request, as one object or as a stream of server-sent events.

Whoever stops listening frees the rows: a response that is cancelled cancels its replies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse

from model.serving.answers import Choice, Form, Usage
from model.serving.engine import End, Engine, Event, Generation, Piece
from model.serving.served import ApiError, error_body

Make = Callable[[Callable[[Event], None]], Sequence[Generation]]
GONE = 499  # nginx's status for a client that has left; nobody reads it


async def reply(engine: Engine, make: Make, form: Form, http: HttpRequest, *, each: int, stream: bool, usage: bool) -> Response:
    """Submit what `make` returns for a way to deliver events, and answer with it. each: replies to one prompt, which follow one another."""
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()

    def deliver(event: Event) -> None:
        with suppress(RuntimeError):  # the loop has ended, and so has everyone who listens
            loop.call_soon_threadsafe(events.put_nowait, event)

    generations = make(deliver)
    engine.submit(generations)
    if stream:
        # The first event is awaited before the status is sent, so a reply that can't be written has a status of its own.
        try:
            first = await while_heard(events.get(), http)
        except BaseException:
            engine.cancel(generations)
            raise
        if isinstance(first, End) and first.fault:
            engine.cancel(generations)
            raise ApiError(first.status, first.fault)
        body = _stream(engine, generations, events, first, form, each if usage else None)
        return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    try:
        choices = await while_heard(_collect(events, len(generations)), http)
    except BaseException:
        engine.cancel(generations)
        raise
    return JSONResponse(form.whole(choices, _usage(generations, each)))


async def while_heard(work: Any, http: HttpRequest) -> Any:
    """Return what `work` gives; raise ApiError if the client leaves first."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(http))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ApiError(GONE, "the client has left")
    finally:
        for task in (working, leaving):
            task.cancel()


async def _left(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _collect(events: asyncio.Queue[Event], count: int) -> list[Choice]:
    """Wait for all replies."""
    choices, going = [Choice() for _ in range(count)], count
    while going:
        event = await events.get()
        choice = choices[event.choice]
        choice.text.append(event.text)
        if isinstance(event, Piece):
            choice.pieces.append(event)
            continue
        if event.fault:
            raise ApiError(event.status, event.fault)
        choice.reason = event.reason
        going -= 1
    return choices


async def _stream(
    engine: Engine, generations: Sequence[Generation], events: asyncio.Queue[Event], first: Event, form: Form, each: int | None
) -> AsyncIterator[bytes]:
    """Yield server-sent events, the usage last if `each` is given. Tokens that end within a character wait for its remaining bytes."""
    held: list[list[Piece]] = [[] for _ in generations]
    begun, sent, going = [False] * len(generations), [0] * len(generations), len(generations)
    event = first
    try:
        while True:
            index = event.choice
            if isinstance(event, Piece):
                held[index].append(event)
            if isinstance(event, End) and event.fault:
                yield _event(error_body(event.status, event.fault))
                return
            if event.text or isinstance(event, End):
                if not begun[index] and form.chat and (chunk := form.chunk(index, "", (), first=True)):
                    yield _event(chunk)
                begun[index] = True
                if (event.text or held[index]) and (chunk := form.chunk(index, event.text, held[index], before=sent[index])):
                    yield _event(chunk)
                sent[index] += len(event.text)
                held[index] = []
            if isinstance(event, End) and (chunk := form.chunk(index, "", (), reason=event.reason)):
                yield _event(chunk)
            if isinstance(event, End):
                going -= 1
                if not going:
                    break
            event = await events.get()
        if each is not None:
            yield _event(form.usage_chunk(_usage(generations, each)))
        yield b"data: [DONE]\n\n"
    finally:
        engine.cancel(generations)


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _usage(generations: Sequence[Generation], each: int) -> Usage:
    requests = [generation.request for generation in generations]
    read = requests[::each]  # a prompt counts once, as its first reply read it
    written = sum(len(request.tokens) for request in requests)
    return Usage(sum(len(request.prompt) for request in read), written, sum(request.reused for request in read))
