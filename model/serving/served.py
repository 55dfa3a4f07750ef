"""The interface of a served model, with the limits, errors and waiting room of its requests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest, Generating


class ServeLimits(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The limits of one server; each model has rows and a queue of its own."""

    rows: int = Field(16, ge=1, le=4096, description="replies that a model writes at once; count")
    waiting: int = Field(64, ge=0, le=100_000, description="replies that may wait for a row before others are turned away; count")
    max_tokens: int = Field(4096, ge=1, description="longest reply; tokens")
    choices: int = Field(8, ge=1, description="most replies to one request; count")
    body_bytes: int = Field(1 << 20, ge=1024, description="largest request; bytes")
    body_seconds: float = Field(20.0, gt=0, description="longest time that a request may take to arrive; seconds")
    queue_seconds: float = Field(30.0, gt=0, description="longest wait for a row; seconds")
    reply_seconds: float = Field(300.0, gt=0, description="longest time that a reply may be written; it then ends as it is; seconds")
    prefix_tokens: int = Field(
        65_536, ge=0, description="tokens of earlier texts that each model keeps, so that they are not read again; 0: none"
    )
    prefix_bytes: int = Field(1 << 28, ge=0, description="memory that the states of these texts take for each model; bytes")
    pictures: int = Field(8, ge=0, le=1024, description="pictures in one request, those of earlier messages among them; count; 0: none")
    picture_bytes: int = Field(4 << 20, ge=1, le=32 << 20, description="largest picture, as a file; bytes")
    recordings: int = Field(4, ge=0, le=1024, description="recordings in one request, counted as pictures are; count; 0: none")
    recording_bytes: int = Field(8 << 20, ge=1, le=32 << 20, description="largest recording, as a file; bytes")
    connections: int = Field(512, ge=1, description="open connections; count")
    address_connections: int = Field(256, ge=1, description="open connections of one address, so that none takes them all; count")
    head_seconds: float = Field(10.0, gt=0, description="longest time that a request's head may take to arrive; seconds")

    def of(self, medium: str) -> tuple[int, int]:
        """Return how many pictures, or sounds, a request may have, and how many bytes each."""
        return (self.recordings, self.recording_bytes) if medium == "sounds" else (self.pictures, self.picture_bytes)

    def chat_bytes(self, media: Collection[str]) -> int:
        """Return the largest request with pictures or sounds, which base64 makes a third longer; bytes."""
        return self.body_bytes + max((count * (size * 4 // 3 + 256) for count, size in map(self.of, media)), default=0)


class ApiError(Exception):
    """A request that can't be answered, and why."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, headers or {}

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON."""
        return error_body(self.status, str(self), self.param, self.code)


# Parameters of other servers that ask for the likeliest replies as wholes.
BEAMS = frozenset({"best_of", "num_beams", "beams", "beam_width", "use_beam_search", "length_penalty", "early_stopping"})
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the JSON of an error."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def busy(message: str, seconds: int = 1) -> ApiError:
    """Return the error of a full queue."""
    return ApiError(429, message, code="queue_full", headers={"Retry-After": str(seconds)})


def from_validation(error: ValidationError) -> ApiError:
    """Return the first fault of a request's fields, by name, value and reason."""
    wrong = error.errors(include_url=False)[0]
    # The location also names branches of unions, in words that don't occur in requests.
    place = [str(part) for part in wrong["loc"] if isinstance(part, int) or str(part).isidentifier()]
    param = ".".join(part for part in place if part not in ("str", "int", "float", "bool", "is_instance")) or None
    if wrong["type"] == "extra_forbidden" and param in BEAMS:
        said = f"{param}: beam search is not offered by this API, where replies are drawn; leave it out, or use: folio generate --beams N"
        return ApiError(400, said, param=param, code="unsupported_parameter")
    if wrong["type"] == "extra_forbidden":
        name = str(wrong["loc"][-1])
        param = param if name.isidentifier() else ".".join([*place, repr(name[:80])])
        return ApiError(400, f"{param} is not offered here, or not a parameter; leave it out", param=param, code="unknown_parameter")
    if wrong["type"] in ("json_invalid", "json_type"):
        return ApiError(400, f"the body is not JSON: {wrong['ctx'].get('error', wrong['msg']) if 'ctx' in wrong else wrong['msg']}")
    return ApiError(400, f"{param or 'the body'}: {wrong['msg'].removeprefix('Value error, ')}", param=param, code="invalid_value")


def longest_reply(asked: Generating, prompts: int, longest: int | None, limits: ServeLimits) -> int:
    """Return the most tokens of each reply, `longest` if it is given. Raise ApiError for more replies or tokens than the limits allow."""
    if asked.n > limits.choices or asked.n * prompts > limits.rows + limits.waiting:
        most = min(limits.choices, (limits.rows + limits.waiting) // prompts)
        raise ApiError(400, f"n={asked.n} for {prompts} prompts is more than this server writes at once, {most}", param="n")
    if longest is not None and longest > limits.max_tokens:
        raise ApiError(400, f"max_tokens={longest} is more than this server's {limits.max_tokens}", param="max_tokens")
    return longest or limits.max_tokens


@dataclass(frozen=True)
class About:
    """A model's entry on the page and in /v1/models: `lines` for people, its location and its lineage.

    summary: what it is, in a line; questions: what it can be asked. Empty where nobody says.
    """

    id: str
    lines: Sequence[str]
    context: int | None
    created: int
    fingerprint: str | None
    abilities: Sequence[str]  # chat, completions, embeddings; pictures or sounds, if it reads them
    backend: str
    summary: str = ""
    questions: Sequence[str] = ()

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
