"""The local services: on loopback alone, started once and reused, and a port that is taken is one clear error."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flows.cli.commands.services import left_behind
from flows.services import processes, servers
from flows.services.servers import ServiceError
from tasks.stage.system.process_identity import ProcessIdentity


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((servers.HOST, 0))
        return int(probe.getsockname()[1])


STRANGE = {
    "no_web_server": b"SSH-2.0-sleepy\r\n",
    "another_page": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "no_such_page": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "silence": b"",
}


@pytest.fixture(params=STRANGE)
def stranger(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port held by something that is none of ours and answers everybody with the same words."""
    listener = socket.create_server((servers.HOST, 0))

    def serve() -> None:
        while True:
            try:
                visitor, _ = listener.accept()
            except OSError:
                return
            with visitor:
                visitor.recv(4096)
                visitor.sendall(STRANGE[request.param])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("variable", ["FOLIO_PREFECT_PORT", "FOLIO_MLFLOW_PORT"])
def test_a_port_held_by_something_else_is_one_error_that_names_port_and_variable(
    stranger: int, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.setenv(variable, str(stranger))
    with pytest.raises(ServiceError, match=rf"Port {stranger} is in use by something other than the .* another port: {variable}=<port>"):
        servers.ensure_prefect() if "PREFECT" in variable else servers.ensure_mlflow("sqlite:///unused.db")
    assert not (tmp_path / "services.json").exists()


@pytest.mark.parametrize("value", ["", "http", "0", "65536", "-1"])
def test_an_invalid_port_is_refused_by_name(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_PREFECT_PORT", value)
    with pytest.raises(ServiceError, match=f"FOLIO_PREFECT_PORT='{value}' is not a port; give a number from 1 to 65535"):
        servers.prefect_server()


def test_a_home_that_cannot_be_made_names_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "file"))
    with pytest.raises(ServiceError, match=r"home .*file can't be made .*FOLIO_HOME=<folder>"):
        servers.configure()


def test_telemetry_is_off_and_prefect_starts_no_ephemeral_server() -> None:
    environment = servers.settings()
    assert environment["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] == environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert (environment["DO_NOT_TRACK"], environment["MLFLOW_DISABLE_TELEMETRY"]) == ("1", "true")
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["PREFECT_API_URL"].startswith("http://127.0.0.1:")


def test_services_start_once_listen_on_loopback_alone_and_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("FOLIO_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: servers.ensure_prefect(), range(2))
        assert first == second
        assert servers.answers(first)
        monkeypatch.setenv("FOLIO_PREFECT_PORT", str(free_port()))
        assert servers.states()["Prefect server"].startswith(f"{first.url}, pid ")
        (server,) = processes.started().values()
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        held = [held for process in family for held in process.net_connections("inet") if held.status == psutil.CONN_LISTEN]
        assert {(listening.laddr.ip, listening.laddr.port) for listening in held} == {("127.0.0.1", first.port)}
    finally:
        stopped = processes.stop()
    assert stopped == ["Prefect server"]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert not servers.answers(first)
    assert processes.stop() == []


def test_stopping_spares_a_process_that_reuses_a_dead_service_s_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    with psutil.Popen(["sleep", "60"], start_new_session=True) as stranger:
        processes.remember("Prefect server", stranger.pid, "")
        record = tmp_path / "services.json"
        for began in ("ticks ", "time "):
            record.write_text(record.read_text().replace(began, f"{began}1"))
        assert processes.stop() == []
        assert stranger.is_running()
        stranger.kill()


def test_a_service_that_older_code_has_started_is_stopped_if_it_began_when_the_record_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    with psutil.Popen(["sleep", "60"], start_new_session=True) as ours, psutil.Popen(["sleep", "60"], start_new_session=True) as stranger:
        known = {"ours": (ours.pid, ours.create_time()), "stranger": (stranger.pid, stranger.create_time() - 5)}
        old = {name: {"pid": pid, "began": began, "serves": ""} for name, (pid, began) in known.items()}
        (tmp_path / "services.json").write_text(json.dumps(old))
        assert processes.stop() == ["ours"]
        assert not ours.is_running()
        assert stranger.is_running()
        stranger.kill()


def test_a_service_in_another_container_of_this_home_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    this = ProcessIdentity.this()
    elsewhere = {"process": str(replace(this, namespace="pid:[1] time:[1]")), "serves": "there"}
    here = {"process": str(replace(this, began="ticks 1")), "serves": "here"}
    (tmp_path / "services.json").write_text(json.dumps({"Prefect server": elsewhere, "MLflow page": here}))
    assert [service.process() for service in processes.started().values()] == [None, None]
    assert processes.stop() == []
    assert list(processes.started()) == ["Prefect server"], "that container still finds its own"


@pytest.mark.slow
def test_the_server_of_another_home_is_named_and_not_adopted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    homes = tmp_path / "one home", tmp_path / "another"
    monkeypatch.setenv("FOLIO_PREFECT_PORT", str(free_port()))
    for name, home in zip(("PREFECT_HOME", "FOLIO_HOME"), (homes[0] / "prefect", homes[0]), strict=True):
        monkeypatch.setenv(name, str(home))
    homes[0].mkdir()
    servers.ensure_prefect()
    try:
        monkeypatch.setenv("FOLIO_HOME", str(homes[1]))
        monkeypatch.setenv("PREFECT_HOME", str(homes[1] / "prefect"))
        with pytest.raises(ServiceError, match=r"is not this home's: pid \d+ \(.*prefect server start") as refused:
            servers.ensure_prefect()
        assert f"FOLIO_HOME='{homes[0]}' folio down" in str(refused.value)
        assert "FOLIO_PREFECT_PORT=<port>" in str(refused.value)
        assert processes.stop() == []
        monkeypatch.setenv("FOLIO_HOME", str(homes[0]))
        monkeypatch.setenv("PREFECT_HOME", str(homes[0] / "prefect"))
        (homes[0] / "services.json").unlink()
        servers.ensure_prefect()
        assert list(processes.started()) == ["Prefect server"], "its own server is known again, though its record is lost"
    finally:
        monkeypatch.setenv("FOLIO_HOME", str(homes[0]))
        processes.stop()


@pytest.mark.slow
def test_a_server_that_is_slow_is_said_to_run_still_and_how_to_wait_longer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.setenv("FOLIO_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("FOLIO_START_SECONDS", "0.1")
    try:
        with pytest.raises(ServiceError, match=r"within 0\.1 s\. Its process \d+ still runs.* or set FOLIO_START_SECONDS to more seconds"):
            servers.ensure_prefect()
        first = processes.started()["Prefect server"].pid
        monkeypatch.delenv("FOLIO_START_SECONDS")
        servers.ensure_prefect()
        assert processes.started()["Prefect server"].pid == first, "the server on its way is waited for, not started twice"
    finally:
        processes.stop()
    monkeypatch.setenv("FOLIO_START_SECONDS", "soon")
    with pytest.raises(ServiceError, match="FOLIO_START_SECONDS='soon' is not a time; give a number of seconds above 0"):
        servers.ensure_prefect()
    assert processes.started() == {}, "nothing is started before the time is known"


def test_what_down_leaves_is_named_runs_that_wait_for_a_person_and_workers(prefect: None) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import Suspended

    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run(
            flow(name="asks")(lambda: None), name="universe: a gate asks", state=Suspended(timeout_seconds=600)
        )
    found = replace(servers.prefect_server(), port=int(str(client.api_url).rstrip("/").removesuffix("/api").rpartition(":")[2]))
    service = replace(found, serves=servers._served_by(found, None))  # as if this home had started it
    idle = "import sys, time; print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", idle, "prefect", "worker", "start", "--pool", "books"]
    elsewhere = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:1/api"}
    ours = {**os.environ, "PREFECT_API_URL": f"{service.url}/api"}
    with subprocess.Popen(command, env=ours, stdout=subprocess.PIPE) as worker, subprocess.Popen(command, env=elsewhere) as other:
        try:
            assert worker.stdout is not None
            worker.stdout.readline()
            left = list(left_behind(service))
        finally:
            worker.kill()
            other.kill()
    (suspended,) = [line for line in left if line.startswith("left suspended")]
    assert "universe: a gate asks" in suspended and f"{service.url}/runs/flow-run/{waiting.id}" in suspended
    (standing,) = [line for line in left if line.startswith("left standing")]
    assert f"prefect worker start --pool books, pid {worker.pid};" in standing and standing.endswith(f"kill {worker.pid}")


def test_a_server_that_is_away_leaves_no_run_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_PREFECT_PORT", str(free_port()))
    assert list(left_behind(servers.prefect_server())) == []
