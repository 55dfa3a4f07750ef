"""A model served by another program: llama.cpp or vLLM in a child process, on its own port.

Requests are checked here as for any model, so a malformed one never reaches the program. Its answers are passed on as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse

from model.serving.media import refuse_media
from model.serving.process import KEY, Child, ChildError
from model.serving.replying import while_heard
from model.serving.schema import Asked, ChatRequest, CompletionRequest, EmbeddingRequest, Generating
from model.serving.served import About, ApiError, ServeLimits, busy, error_body, longest_reply

TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


class ChildModel:
    """A `ServedModel` that a child computes.

    names: what the program calls our parameters, where it differs; None: it has none. defaults: what is sent for parameters that a request
    leaves out, since the program's own defaults differ from the API's.
    """

    def __init__(self, child: Child, about: About, limits: ServeLimits, names: dict[str, str | None], defaults: dict[str, Any]) -> None:
        self._child, self._about, self._limits, self._names, self._defaults = child, about, limits, names, defaults
        self._running = 0
        self._client: httpx.AsyncClient | None = None

    @property
    def about(self) -> About:
        return self._about

    @property
    def alive(self) -> bool:
        return self._child.alive

    def load(self) -> tuple[int, int]:
        return min(self._running, self._limits.rows), max(0, self._running - self._limits.rows)

    def close(self) -> None:
        self._child.close()

    async def chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        return await self._pass("/v1/chat/completions", asked, http, 1, asked.longest)

    async def complete(self, asked: CompletionRequest, http: HttpRequest) -> Response:
        return await self._pass("/v1/completions", asked, http, len(asked.prompts), asked.max_tokens)

    async def embed(self, asked: EmbeddingRequest, http: HttpRequest) -> Response:
        said = f"{self.about.id} is computed by {self._child.label}, which gives no embeddings here; ask a model that folio computes"
        raise ApiError(404, said, param="model")

    async def _pass(self, path: str, asked: Generating, http: HttpRequest, prompts: int, longest: int | None) -> Response:
        body = self._translated(asked)
        body.pop("max_completion_tokens", None)
        body["max_tokens"] = longest_reply(asked, prompts, longest, self._limits)
        replies = asked.n * prompts
        if self._running + replies > self._limits.rows + self._limits.waiting:
            raise busy(f"{self._running} replies are written or wait already; try again later")
        self._client = self._client or httpx.AsyncClient(base_url=self._child.url, timeout=None)
        request = self._client.build_request("POST", path, json=body, headers={"Authorization": f"Bearer {self._child.key}"})
        # The program does not tell when a reply gets its row.
        until = asyncio.get_running_loop().time() + self._limits.queue_seconds + self._limits.reply_seconds
        self._running += replies
        sent = False
        try:
            async with asyncio.timeout_at(until):
                answer = await while_heard(self._client.send(request, stream=True), http)
                if asked.stream and answer.status_code == 200:
                    sent = True
                    return StreamingResponse(self._relay(answer, replies, until), media_type="text/event-stream")
                try:
                    return self._answered(answer.status_code, await while_heard(answer.aread(), http))
                finally:
                    await answer.aclose()
        except httpx.HTTPError as error:
            raise ApiError(502, f"{self._child.label} did not answer: {type(error).__name__}") from None
        except TimeoutError:
            raise ApiError(504, self._late) from None
        finally:
            self._running -= 0 if sent else replies

    async def _relay(self, answer: httpx.Response, replies: int, until: float) -> AsyncIterator[bytes]:
        parts, fault = answer.aiter_raw(), None
        try:
            while True:
                async with asyncio.timeout_at(until):
                    part = await anext(parts, None)
                if part is None:
                    break
                yield part
        except httpx.HTTPError as error:
            fault = error_body(502, f"{self._child.label} broke off: {type(error).__name__}")
        except TimeoutError:
            fault = error_body(504, self._late)
        finally:
            self._running -= replies
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await answer.aclose()
        if fault is not None:
            yield b"data: " + json.dumps(fault).encode() + b"\n\n"

    @property
    def _late(self) -> str:
        seconds = self._limits.queue_seconds + self._limits.reply_seconds
        return f"{self._child.label} was not finished within {seconds:g} seconds; ask for a shorter reply"

    def _answered(self, status: int, content: bytes) -> Response:
        try:
            body: Any = json.loads(content)
        except ValueError:
            body = None
        if status == 200 and isinstance(body, dict):
            return JSONResponse({**body, "model": self.about.id})
        said = body.get("error", body) if isinstance(body, dict) else None
        message = said.get("message") if isinstance(said, dict) else None
        return JSONResponse(error_body(status, str(message or f"{self._child.label} answered with status {status}")), status)

    def _translated(self, asked: Asked) -> dict[str, Any]:
        """Return the body in the program's words. Raise ApiError for a parameter that it does not have."""
        if isinstance(asked, ChatRequest) and asked.speaks_of_calls:
            param = "tools" if asked.offered else "messages"
            raise ApiError(400, f"tools and their calls are not offered by {self._child.label}; leave them out", param=param)
        if isinstance(asked, ChatRequest):
            refuse_media(asked, f"{self._child.label} is given text alone")
        body = asked.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"user", "metadata", *TOOLS})
        for name, theirs in self._names.items():
            if name not in body:
                continue
            if theirs is None:
                raise ApiError(400, f"{name} is not offered by {self._child.label}; leave it out", param=name, code="unknown_parameter")
            body[theirs] = body.pop(name)
        return {**self._defaults, **body}


NAMES: dict[str, str | None] = {"guided_grammar": None, "truncation": None}
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


def serve_vllm(directory: Path, about: About, limits: ServeLimits) -> ChildModel:
    """Start vLLM on a directory. Raise ChildError if it is not installed or does not start."""
    if find_spec("vllm") is None:
        raise ChildError("--backend vllm: vLLM is not installed in this environment; install it, or leave the option out")
    # The key reaches vLLM by its environment, never by its command line, which others on the machine can see.
    serve = 'VLLM_API_KEY="$' + KEY + '" exec vllm serve "$0" --host 127.0.0.1 --port {port} --served-model-name "$1" --max-num-seqs "$2"'
    return ChildModel(Child(["sh", "-c", serve, str(directory), about.id, str(limits.rows)], "vLLM"), about, limits, NAMES, DEFAULTS)
