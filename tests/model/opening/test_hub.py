"""A model of a hub is fetched once, at one commit, and checked against the digests that the recipe pins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from model.networks.base import ModelError
from model.opening.config import HubModel
from model.opening.source import Surroundings
from tests.model.opening.tiny import write_llama

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub that holds one small model; yields the paths that it was asked for."""
    write_llama(tmp_path / "there")
    (tmp_path / "there" / "pytorch_model.bin").write_bytes(b"a pickle")
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            file = tmp_path / "there" / path.rpartition("/")[2]
            if not path.startswith(f"/someone/small/resolve/{REVISION}/") or not file.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                asked.append(file.name)
                self.wfile.write(content)

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield asked
    server.shutdown()
    server.server_close()


def model(folder: Path, sha256: str = "") -> HubModel:
    found = sha256 or hashlib.sha256((folder / "there" / "model.safetensors").read_bytes()).hexdigest()
    return HubModel(repository="someone/small", revision=REVISION, sha256={"model.safetensors": found})


def test_it_is_fetched_once_without_pickles_and_then_read_without_a_network(hub: list[str], tmp_path: Path) -> None:
    around = Surroundings(tmp_path, tmp_path / "cache", tmp_path / "scratch")
    with pytest.raises(ModelError, match="someone/small is not fetched yet, so its shape is unknown"):
        model(tmp_path).shape(around)
    opened = model(tmp_path).open(around)
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(hub) and "pytorch_model.bin" not in hub
    assert opened.origin["licence"] == "apache-2.0" and opened.origin["revision"] == REVISION
    before = len(hub)
    assert model(tmp_path).shape(around).vocabulary == 320
    assert model(tmp_path).open(around) == opened and len(hub) == before


def test_other_weights_than_those_that_are_pinned_are_refused(hub: list[str], tmp_path: Path) -> None:
    around = Surroundings(tmp_path, tmp_path / "cache", tmp_path / "scratch")
    with pytest.raises(ModelError, match=r"model.safetensors has sha256 [0-9a-f]{64}, and the recipe pins 0000"):
        model(tmp_path, "0" * 64).open(around)
    (tmp_path / "cache" / "models" / f"someone--small@{REVISION}" / "extra.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"has weights in extra.safetensors too, which sha256 does not pin"):
        model(tmp_path).open(around)


def test_a_model_that_is_not_there_is_told_with_the_way_out(hub: list[str], tmp_path: Path) -> None:
    (tmp_path / "there" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"someone/small at 0123456789ab has no config.json"):
        model(tmp_path).open(Surroundings(tmp_path, tmp_path / "cache", tmp_path / "scratch"))
