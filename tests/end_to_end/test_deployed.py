"""Deployed runs, for real: a server, two work pools with a worker each, and a person who approves."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tests.end_to_end.readme import block, shell, standing

CHANGES = [
    *("resources.pools.pretrain=gpu", "gates.release.approve=true", "resources.notify=custom-webhook/team"),
    # No run before this one has judged by this bound, so its verdict is a new one.
    "gates.release.bounds=[{metric: release.test.bits_per_byte, maximum: 7.5}]",
]
SETTINGS = 'eval "$(folio env)"'
BLOCK = """from prefect.blocks.notifications import CustomWebhookNotificationBlock as Hook
Hook(name='team', url='http://127.0.0.1:{port}/', json_data={{'text': '{{{{subject}}}} {{{{body}}}}'}}).save('team', overwrite=True)"""


class Server:
    """The API of a Prefect server."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{environment['FOLIO_PREFECT_PORT']}/api"

    def ask(self, path: str, body: object = None) -> Any:
        """Return the answer to a GET, or to a POST of a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    return json.load(reply)
            except urllib.error.HTTPError as error:
                # A server on SQLite answers so while others write.
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                time.sleep(1)
        raise AssertionError(f"{path}: the server is busy")

    def wait(self, flow_run: str, state: str) -> None:
        """Wait until a flow run is in a state; fail if it ends in another."""
        deadline = time.monotonic() + 600
        while (found := self.ask(f"/flow_runs/{flow_run}")["state"])["name"] != state:
            assert found["type"] not in ("FAILED", "CRASHED", "CANCELLED"), found["message"]
            assert time.monotonic() < deadline, found["name"]
            time.sleep(1)


@contextmanager
def webhook() -> Iterator[tuple[int, list[str]]]:
    """A service that takes notifications: its port, and what it was told."""
    told: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, told
        server.shutdown()


@pytest.mark.slow
def test_a_deployed_run_trains_in_another_pool_and_is_suspended_until_a_person_approves(
    environment: dict[str, str], quick_commands: dict[str, list[str]]
) -> None:
    up, settings, *commands, _ = block("Schedule it", "deployments")
    assert settings == SETTINGS
    for command in (up, *(f"{settings}; {command}" for command in commands)):
        shell(command, environment)
    server = Server(environment)
    workers = (standing(f"{settings}; exec prefect worker start --pool {pool}", environment) for pool in ("books", "gpu"))
    with webhook() as (port, told), next(workers), next(workers):
        shell(f'{settings}; python -c "{BLOCK.format(port=port)}"', environment)
        deployment = server.ask("/deployments/name/folio/universe")["id"]
        given = {"recipe": "four_books", "changes": CHANGES, "refresh": ["pretrain"]}
        flow_run = server.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": given, "state": {"type": "SCHEDULED"}})["id"]
        server.wait(flow_run, "Suspended")
        deadline = time.monotonic() + 60
        while not told and time.monotonic() < deadline:  # it is told once the run is suspended, lest it be told of one that is not
            time.sleep(0.1)
        assert len(told) == 1 and "gate.release of four_books passed and awaits approval" in told[0] and flow_run in told[0]
        answer = {"approve": True, "name": "Ada", "reason": "it reads well"}
        assert server.ask(f"/flow_runs/{flow_run}/resume", {"run_input": answer})["status"] == "ACCEPT"
        server.wait(flow_run, "Completed")
    assert len(told) == 1

    home = Path(environment["FOLIO_HOME"])
    finished, suspended, *before = Journal(Store(str(home / "store"), home / "cache" / "artifacts")).records()
    assert (suspended.status, finished.status) == ("stopped", "finished")
    assert suspended.flow_run_id == finished.flow_run_id == flow_run
    assert finished.positions["gate.release"].answer == "approved by Ada: it reads well"
    assert suspended.positions["pretrain"].action == "executed"
    ours = next(run for run in before if "pretrain" in run.positions)
    assert suspended.positions["pretrain"].digest == ours.positions["pretrain"].digest
    assert suspended.positions["pretrain"].key == ours.positions["pretrain"].key
    training = server.ask("/flow_runs/filter", {"flow_runs": {"name": {"any_": ["pretrain"]}}})
    assert {(run["work_pool_name"], run["state_name"]) for run in training} == {("gpu", "Completed")}
