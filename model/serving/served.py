"""What a server asks of a model, wherever it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest


@dataclass(frozen=True)
class About:
    """A model's entry on the page and in /v1/models: `lines` for people, its location and its lineage."""

    id: str
    lines: Sequence[str]
    context: int | None
    created: int
    fingerprint: str | None
    abilities: Sequence[str]  # chat, completions, embeddings
    backend: str

    def entry(self) -> dict[str, Any]:
        """Return the model's entry in /v1/models."""
        more = {"context": self.context, "fingerprint": self.fingerprint, "abilities": list(self.abilities), "backend": self.backend}
        return {"id": self.id, "object": "model", "created": self.created, "owned_by": "folio", "folio": more}


class ServedModel(Protocol):
    """A model behind the address. Each answer is a response in OpenAI's form; ApiError says why there is none."""

    @property
    def about(self) -> About:
        """The model's description."""

    @property
    def alive(self) -> bool:
        """Whether it can answer."""

    async def chat(self, asked: ChatRequest, http: HttpRequest) -> Response:
        """Answer a conversation. `http`: the request with its body read, used to notice a disconnect."""

    async def complete(self, asked: CompletionRequest, http: HttpRequest) -> Response:
        """Continue texts."""

    async def embed(self, asked: EmbeddingRequest, http: HttpRequest) -> Response:
        """Turn texts into vectors."""

    def load(self) -> tuple[int, int]:
        """Return how many replies are being written or texts turned into vectors, and how many wait."""

    def close(self) -> None:
        """Release threads and processes."""
