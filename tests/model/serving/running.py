"""A server in a thread of this process, on a port of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from model.inference.chat_format import ChatFormat
from model.networks.network import Network
from model.serving.app import make_app
from model.serving.connections import bound, server_config
from model.serving.own import OwnModel
from model.serving.served import About, ServedModel, ServeLimits

LIMITS = ServeLimits(rows=4, waiting=8, max_tokens=64, body_bytes=20_000)


def own_model(
    network: Network, chat_format: ChatFormat, name: str = "tiny", limits: ServeLimits = LIMITS, draft: Network | None = None
) -> OwnModel:
    abilities = ("chat", "completions", "embeddings")
    about = About(name, ["a tiny model", "of no making"], network.config.context, 1, "folio-0123", abilities, "folio")
    return OwnModel(network.decoding(), chat_format, about, limits, None if draft is None else draft.decoding())


@contextmanager
def serving(models: Sequence[ServedModel], limits: ServeLimits = LIMITS, key: str | None = None) -> Iterator[str]:
    """Serve models inside the block; yield the address."""
    served: Mapping[str, ServedModel] = {model.about.id: model for model in models}
    try:
        with answering(make_app(served, limits, key), limits, key) as address:
            yield address
    finally:
        for model in models:
            model.close()


@contextmanager
def answering(app: Any, limits: ServeLimits, key: str | None) -> Iterator[str]:
    """Serve an application on a port that is free inside the block; yield the address."""
    listening = bound("127.0.0.1", 0, key)
    server = uvicorn.Server(server_config(app, limits, log_level="critical", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
