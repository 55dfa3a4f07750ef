"""The HTTP application: OpenAI's paths, health, metrics and the page, which may do nothing but ask this server."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from model.hardware.waiting import watch
from model.serving.connections import server_config, with_files
from model.serving.guard import Guard
from model.serving.media import MEDIA, require_few_words
from model.serving.own import OwnModel
from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import ApiError, ServedModel, ServeLimits, error_body, from_validation

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CHAT = "/v1/chat/completions"
KNOWN = frozenset({"/", "/health", "/metrics", "/v1/models", CHAT, "/v1/completions", "/v1/embeddings"})


class Metrics:
    """Counters of one server."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("folio_requests", "requests answered", ["path", "status"], registry=self._registry)
        self._seconds = Histogram(
            "folio_request_seconds", "from request to the end of its answer", ["path"], buckets=SECONDS, registry=self._registry
        )
        self._registry.register(_Engines(models))

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Note an answered request. Unknown paths share one name, so clients can't flood the page."""
        known = path if path in KNOWN else "/v1/models/*" if path.startswith("/v1/models/") else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def page(self) -> bytes:
        """Return the metrics as text."""
        return generate_latest(self._registry)


class _Engines(Collector):
    """Reads each engine when it is asked."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("folio_replies_running", "replies being written and vectors being computed", labels=["model"])
        waiting = GaugeMetricFamily("folio_replies_waiting", "replies that wait for a row, and requests for vectors", labels=["model"])
        alive = GaugeMetricFamily("folio_model_up", "whether the model can answer", labels=["model"])
        written = CounterMetricFamily("folio_tokens_written", "tokens of finished replies", labels=["model"])
        steps = CounterMetricFamily("folio_steps", "passes of the network that wrote tokens", labels=["model"])
        faults = CounterMetricFamily("folio_faults", "passes that failed", labels=["model"])
        proposed = CounterMetricFamily("folio_tokens_drafted", "tokens that drafts proposed", labels=["model"])
        accepted = CounterMetricFamily("folio_tokens_drafted_taken", "tokens that drafts proposed rightly", labels=["model"])
        for name, model in self._models.items():
            at_work, queued = model.load()
            running.add_metric([name], at_work)
            waiting.add_metric([name], queued)
            alive.add_metric([name], float(model.alive))
            if isinstance(model, OwnModel):
                written.add_metric([name], model.engine.written)
                steps.add_metric([name], model.engine.steps)
                faults.add_metric([name], model.engine.faults)
                proposed.add_metric([name], model.engine.proposed)
                accepted.add_metric([name], model.engine.accepted)
        yield from (running, waiting, alive, written, steps, faults, proposed, accepted)


log = logging.getLogger(__name__)
Asked = TypeVar("Asked", bound=BaseModel)


def make_app(models: Mapping[str, ServedModel], limits: ServeLimits, key: str | None = None) -> Guard:
    """Return the server of these models, by their names. `key`: what callers must show; None: anyone on this machine may ask."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics(models)
    _add_errors(app)
    _add_house(app, models, metrics)

    @app.post(CHAT)
    async def chat(http: Request) -> Response:
        asked = await _parsed(ChatRequest, http)
        require_few_words(asked, len(await http.body()), limits)
        return await _model(models, asked.model).chat(asked, http)

    @app.post("/v1/completions")
    async def complete(http: Request) -> Response:
        asked = await _parsed(CompletionRequest, http)
        return await _model(models, asked.model).complete(asked, http)

    @app.post("/v1/embeddings")
    async def embed(http: Request) -> Response:
        asked = await _parsed(EmbeddingRequest, http)
        return await _model(models, asked.model).embed(asked, http)

    media = [medium for medium in MEDIA if any(medium in model.about.abilities for model in models.values())]
    return Guard(app, key, limits, metrics.observe, {CHAT: limits.chat_bytes(media)})


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
        found = _model(models, name).about
        return JSONResponse({"id": name, "lines": list(found.lines), "summary": found.summary, "questions": list(found.questions)})

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


def compute_with(threads: int) -> None:
    """Make every engine compute with this many threads."""
    import torch

    torch.set_num_threads(threads)
    watch()


def serve(
    models: Mapping[str, ServedModel], limits: ServeLimits, listening: socket.socket, key: str | None, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the address. Replies at work get some seconds to end. Closes the models."""
    limits = with_files(limits)
    config = server_config(make_app(models, limits, key), limits, log_level="warning", timeout_graceful_shutdown=5)
    host, port = listening.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        for model in models.values():
            model.close()


SCRIPTS = ("markdown.js", "stream.js", "media.js", "pane.js", "chat.js")
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; media-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> tuple[str, str]:
    """Return the page and its Content-Security-Policy, which allows its style and script by their hashes alone."""
    folder = files("model.serving.page")
    style = folder.joinpath("chat.css").read_text(encoding="utf-8")
    script = '"use strict";\n' + "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = folder.joinpath("chat.html").read_text(encoding="utf-8")
    whole = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return whole, POLICY.format(script=_source(script), style=_source(style))


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
