"""An encoder behind the address: it turns texts into vectors, and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from model.inference.chat_format import ChatFormat
from model.inference.embed import WholeTexts
from model.serving.errors import ApiError
from model.serving.limits import ServeLimits
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import About
from model.serving.vectors import Vectors

if TYPE_CHECKING:
    from model.networks.network import Network


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
