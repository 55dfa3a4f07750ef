"""An encoder behind the address: it turns texts into vectors, and writes nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from model.inference.chat_format import ChatFormat
from model.inference.embed import embed
from model.serving.errors import ApiError, busy
from model.serving.limits import ServeLimits
from model.serving.own import vectors_response
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import About

if TYPE_CHECKING:
    from model.networks.network import Network


class OwnEncoder:
    """A bidirectional network and its tokenizer. A `ServedModel`. One request is computed at a time."""

    def __init__(self, network: Network, chat_format: ChatFormat, about: About, limits: ServeLimits) -> None:
        self._network, self._format, self._about, self._limits = network, chat_format, about, limits
        self._one = threading.Lock()
        self._asked = 0

    @property
    def about(self) -> About:
        return self._about

    @property
    def alive(self) -> bool:
        return True

    def load(self) -> tuple[int, int]:
        return min(self._asked, 1), max(0, self._asked - 1)

    def close(self) -> None:
        """Nothing runs."""

    async def chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        raise ApiError(404, f"{self.about.id} is of kind={self._network.config.kind}, which writes no text", param="model")

    async def complete(self, asked: CompletionRequest, http: HttpRequest) -> Response:
        raise ApiError(404, f"{self.about.id} is of kind={self._network.config.kind}, which writes no text", param="model")

    async def embed(self, asked: EmbeddingRequest, http: HttpRequest) -> Response:
        if self._asked > self._limits.waiting:
            raise busy(f"{self._asked} requests wait already; try again later")
        self._asked += 1
        try:
            vectors, tokens = await asyncio.to_thread(self._vectors, asked)
        except ValueError as error:
            raise ApiError(400, str(error), param="input") from None
        finally:
            self._asked -= 1
        return vectors_response(self.about.id, vectors, tokens, asked.encoding_format)

    def _vectors(self, asked: EmbeddingRequest) -> tuple[list[list[float]], int]:
        texts = [self._format.encode_document(text) if isinstance(text, str) else text for text in asked.inputs]
        unknown = [token for text in texts for token in text if token >= self._network.vocab_size]
        if unknown:
            raise ValueError(f"input holds token {unknown[0]}, and this model has tokens 0 to {self._network.vocab_size - 1}")
        with self._one:
            return embed(self._network, texts), sum(map(len, texts))
