"""The address: OpenAI's paths, health, metrics and the page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from model.serving.errors import ApiError, error_body, from_validation
from model.serving.guard import Guard
from model.serving.limits import ServeLimits
from model.serving.metrics import CONTENT_TYPE, Metrics
from model.serving.page.page import page
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import ServedModel

log = logging.getLogger(__name__)
Asked = TypeVar("Asked", bound=BaseModel)


def make_app(models: Mapping[str, ServedModel], limits: ServeLimits, key: str | None = None) -> Guard:
    """Return the server of these models, by their names. `key`: what callers must show; None: anyone on this machine may ask."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics(models)
    _add_errors(app)
    _add_house(app, models, metrics)

    @app.post("/v1/chat/completions")
    async def chat(http: Request) -> Response:
        asked = await _parsed(ChatRequest, http)
        return await _model(models, asked.model).chat(asked, http)

    @app.post("/v1/completions")
    async def complete(http: Request) -> Response:
        asked = await _parsed(CompletionRequest, http)
        return await _model(models, asked.model).complete(asked, http)

    @app.post("/v1/embeddings")
    async def embed(http: Request) -> Response:
        asked = await _parsed(EmbeddingRequest, http)
        return await _model(models, asked.model).embed(asked, http)

    return Guard(app, key, limits, metrics.observe)


def _add_house(app: FastAPI, models: Mapping[str, ServedModel], metrics: Metrics) -> None:
    """Add what is not about text: the page, the models, health and metrics."""
    content, policy = page()

    @app.get("/")
    async def chat_page() -> Response:
        return HTMLResponse(content, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return Response(status_code=204)

    @app.get("/v1/models")
    async def listed() -> Response:
        return JSONResponse({"object": "list", "data": [model.about.entry() for model in models.values()]})

    @app.get("/v1/models/{name:path}/about")
    async def about(name: str) -> Response:
        return JSONResponse({"id": name, "lines": list(_model(models, name).about.lines)})

    @app.get("/v1/models/{name:path}")
    async def one(name: str) -> Response:
        return JSONResponse(_model(models, name).about.entry())

    @app.get("/health")
    async def health() -> Response:
        down = [name for name, model in models.items() if not model.alive]
        return JSONResponse({"status": "failed" if down else "ok", **({"down": down} if down else {})}, 503 if down else 200)

    @app.get("/metrics")
    async def measured() -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_errors(app: FastAPI) -> None:
    """Answer every error in OpenAI's form."""

    @app.exception_handler(ApiError)
    async def api_error(http: Request, error: ApiError) -> Response:
        return JSONResponse(error.body(), error.status, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def http_error(http: Request, error: HTTPException) -> Response:
        said = {404: f"there is no {http.url.path} here", 405: f"{http.url.path} does not take {http.method}"}
        headers = dict(error.headers or {})
        return JSONResponse(error_body(error.status_code, said.get(error.status_code, str(error.detail))), error.status_code, headers)

    @app.exception_handler(Exception)
    async def fault(http: Request, error: Exception) -> Response:
        log.error("%s failed", http.url.path, exc_info=error)
        return JSONResponse(error_body(500, f"the server failed: {type(error).__name__}"), 500)


async def _parsed(kind: type[Asked], http: Request) -> Asked:
    """Return the request's body, checked. Raise ApiError naming the first fault."""
    try:
        return kind.model_validate_json(await http.body())
    except ValidationError as error:
        raise from_validation(error) from None


def _model(models: Mapping[str, ServedModel], name: str) -> ServedModel:
    found = models.get(name)
    if found is None:
        raise ApiError(404, f"there is no model {name[:200]!r} here; there is {', '.join(models)}", param="model", code="model_not_found")
    return found
