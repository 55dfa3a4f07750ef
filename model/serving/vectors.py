"""Embeddings of one model behind the address: one request is computed at a time, its texts in batches, and a few may wait."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from model.inference.chat_format import ChatFormat
from model.inference.embed import HiddenVectors, WholeTexts, embed
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import About, ApiError, ServeLimits, busy

if TYPE_CHECKING:
    from model.networks.network import Network


class Vectors:
    """Turns texts into vectors by one network. `name`: the model's."""

    def __init__(self, reader: HiddenVectors, chat_format: ChatFormat, name: str, limits: ServeLimits) -> None:
        self._reader, self._format, self._name, self._limits = reader, chat_format, name, limits
        self._one = asyncio.Lock()  # who waits holds no thread
        self._asked = 0

    def load(self) -> tuple[int, int]:
        """Return how many requests are computed, and how many wait."""
        return min(self._asked, 1), max(0, self._asked - 1)

    async def answer(self, asked: EmbeddingRequest) -> Response:
        """Return the vectors in OpenAI's form. Raise ApiError for texts that can't be read, and where too many requests wait."""
        if self._asked > self._limits.waiting:
            raise busy(f"{self._asked} requests for vectors wait already; try again later")
        self._asked += 1
        try:
            async with self._one:
                return await asyncio.to_thread(self._answer, asked)
        finally:
            self._asked -= 1

    def _answer(self, asked: EmbeddingRequest) -> Response:
        texts = [self._format.encode_document(text) if isinstance(text, str) else text for text in asked.inputs]
        long = next((len(text) for text in texts if len(text) > self._reader.context), 0)
        try:
            vectors = embed(self._reader, texts, self._format.bos_id)
        except ValueError as error:
            raise ApiError(400, str(error), param="input", code="context_length_exceeded" if long else "invalid_value") from None
        return vectors_response(self._name, vectors, sum(map(len, texts)), asked.encoding_format)


def vectors_response(model: str, vectors: Sequence[Sequence[float]], tokens: int, encoding: str) -> JSONResponse:
    """Return vectors in OpenAI's form: lists of numbers, or little-endian fp32 in base64."""
    told = [
        {"object": "embedding", "index": index, "embedding": list(vector) if encoding == "float" else _packed(vector)}
        for index, vector in enumerate(vectors)
    ]
    return JSONResponse({"object": "list", "data": told, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


class OwnEncoder:
    """A bidirectional network and its tokenizer. A `ServedModel`."""

    def __init__(self, network: Network, chat_format: ChatFormat, about: About, limits: ServeLimits) -> None:
        self._kind, self._about = network.config.kind, about
        self._vectors = Vectors(WholeTexts(network), chat_format, about.id, limits)

    @property
    def about(self) -> About:
        return self._about

    @property
    def alive(self) -> bool:
        return True

    def load(self) -> tuple[int, int]:
        return self._vectors.load()

    def close(self) -> None:
        """Nothing runs."""

    async def chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        raise ApiError(404, f"{self.about.id} is of kind={self._kind}, which writes no text", param="model")

    async def complete(self, asked: CompletionRequest, http: HttpRequest) -> Response:
        raise ApiError(404, f"{self.about.id} is of kind={self._kind}, which writes no text", param="model")

    async def embed(self, asked: EmbeddingRequest, http: HttpRequest) -> Response:
        return await self._vectors.answer(asked)
