"""The local services: folio's page, a Prefect server and an MLflow page, started once on loopback and reused until `folio down`.

Nothing listens beyond loopback. Prefect's ephemeral server is never used, because it loses task runs in bursts. Telemetry of both is off.
Starting the Prefect server takes about 8 s, the MLflow page about 5 s, folio's page about 2 s.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psutil

from flows.services.home import home, tracking_url
from flows.services.processes import database_of, describe, folio_home, leader, listener, remember, started, way_to_stop
from tasks.stage.system.interrupts import without_run
from tasks.stage.system.locks import local_lock

HOST = "127.0.0.1"
ANSWER_SECONDS = 10.0
MOST_RUNS = 50  # that wait for a person and are named
START_SECONDS = "FOLIO_START_SECONDS"  # how long a server may take to answer first


class ServiceError(RuntimeError):
    """A local service can't be started or reached."""


@dataclass(frozen=True)
class Service:
    """A service on a loopback port.

    `serves`: its database, by which it is known: Prefect's home, or MLflow's URL; `opens_at`: the part of its page to see first.
    """

    name: str
    port: int
    variable: str
    health: str
    answer: str
    serves: str
    opens_at: str = ""

    @property
    def url(self) -> str:
        """Return the address that programs talk to."""
        return f"http://{HOST}:{self.port}"

    @property
    def page(self) -> str:
        """Return the address to open in a browser."""
        return self.url + self.opens_at


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ServiceError(f"{variable}={text!r} is not a port; give a number from 1 to 65535.")
    return int(text)


def prefect_server() -> Service:
    """Return the Prefect server, on port `FOLIO_PREFECT_PORT` or 4200."""
    database = os.environ.get("PREFECT_HOME", str(home() / "prefect"))
    return Service("Prefect server", _port("FOLIO_PREFECT_PORT", 4200), "FOLIO_PREFECT_PORT", "/api/health", "true", database)


def mlflow_page(uri: str = "") -> Service:
    """Return the MLflow page over a database, by default this home's, on port `FOLIO_MLFLOW_PORT` or 5000."""
    port = _port("FOLIO_MLFLOW_PORT", 5000)
    # MLflow's start page is about prompts and traces unless it is asked for training.
    training = "/#/experiments?workflowType=machine_learning"
    return Service("MLflow page", port, "FOLIO_MLFLOW_PORT", "/health", "OK", uri or tracking_url(), training)


def folio_page() -> Service:
    """Return the page over this home, on port `FOLIO_PAGE_PORT` or 4400."""
    return Service("folio page", _port("FOLIO_PAGE_PORT", 4400), "FOLIO_PAGE_PORT", "/health", "folio page", str(home()), "/")


def settings() -> dict[str, str]:
    """Return the environment variables that configure Prefect, MLflow and DeepSpeed."""
    server = prefect_server()
    return {
        "FOLIO_HOME": str(home()),
        "PREFECT_HOME": str(home() / "prefect"),
        "PREFECT_API_URL": f"{server.url}/api",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "folio",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        # A server on SQLite may answer 500 for a moment while several runs use it.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        "PREFECT_CLIENT_MAX_RETRIES": "3",  # 2, 4 and 8 s apart
        # One commit for many task runs: with a commit for each, the server refuses most new flow runs beside a busy one (`begin_flow`).
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_TRACKING_URI": tracking_url(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DS_ACCELERATOR": os.environ.get("DS_ACCELERATOR", "cpu"),
    }


def configure() -> None:
    """Configure this process and its children. Call it before importing Prefect or MLflow; variables that are already set stay.

    Raises ServiceError if folio's home can't be made.
    """
    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"folio's home {home()} can't be made ({error.strerror}); name another folder: FOLIO_HOME=<folder>.") from error
    for name, value in settings().items():
        os.environ.setdefault(name, value)


def ensure_prefect() -> Service:
    """Return the running Prefect server, started if none answers. Raises ServiceError if something else holds the port."""
    service = prefect_server()
    environment = {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(service.port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": service.url,
        "PREFECT_UI_API_URL": f"{service.url}/api",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(service.port)]
    return _ensure(service, command, environment)


def ensure_mlflow(uri: str) -> Service:
    """Return the running MLflow page over the database at `uri`, started if none answers. Raises ServiceError likewise."""
    service = mlflow_page(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(service.port), "--backend-store-uri", uri]
    command += ["--default-artifact-root", (home() / "mlflow").as_uri(), "--workers", "1"]
    return _ensure(service, command, {})


def ensure_page() -> Service:
    """Return the running page of this home, started if none answers. Raises ServiceError likewise."""
    service = folio_page()
    return _ensure(service, [sys.executable, "-m", "flows.page.app", "--port", str(service.port)], {"FOLIO_HOME": str(home())})


def answers(service: Service) -> bool:
    """Return whether the service answers. Raises ServiceError if something else holds its port."""
    if _healthy(service):
        return True
    if not is_listening(service):
        return False
    raise ServiceError(
        f"Port {service.port} is in use by something other than the {service.name}. "
        f"Stop it, or choose another port: {service.variable}=<port>."
    )


def _healthy(service: Service) -> bool:
    try:
        with urllib.request.urlopen(service.url + service.health, timeout=ANSWER_SECONDS) as reply:
            return bool(reply.read(64).decode(errors="replace").strip() == service.answer)
    except (OSError, http.client.HTTPException):
        return False


def is_listening(service: Service) -> bool:
    """Return whether anything listens on the service's port."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, service.port)) == 0


def _ensure(service: Service, command: list[str], environment: dict[str, str]) -> Service:
    with local_lock(home() / "services.lock", lambda: None):
        if answers(service):
            require_ours(service)
        else:
            longest = _start_seconds()
            if not _still_starting(service):
                _spawn(service, command, environment)
            _await_answer(service, longest)
    return service


def _still_starting(service: Service) -> bool:
    """Return whether a process that an earlier command has started for the service, on the same port, runs and does not answer yet."""
    known = started().get(service.name)
    process = known.process() if known is not None and known.serves == service.serves else None
    return process is not None and _port_of(process) == str(service.port)


def _port_of(process: psutil.Process) -> str:
    """Return the port that a server of this home was started on; "" if it has ended."""
    try:
        return dict(pairwise(process.cmdline())).get("--port", "")
    except psutil.Error:
        return ""


def _spawn(service: Service, command: list[str], environment: dict[str, str]) -> None:
    log = _log(service)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            env={**without_run(os.environ), **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    remember(service.name, process.pid, service.serves)


def _await_answer(service: Service, longest: float) -> None:
    starting = started().get(service.name)
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        if starting is not None and starting.process() is None:
            raise ServiceError(f"The {service.name} ended while starting; its log is {_log(service)}.")
        if _healthy(service):
            return
        time.sleep(0.1)
    process = f"Its process {starting.pid}" if starting is not None else "For all we know its process"
    raise ServiceError(
        f"The {service.name} did not answer on {service.url} within {longest:g} s. {process} still runs, so the machine "
        f"may be busy: run the command again to wait longer, or set {START_SECONDS} to more seconds. Its log is {_log(service)}."
    )


def _log(service: Service) -> Path:
    return home() / "logs" / f"{service.name.lower().replace(' ', '-')}.log"


def _start_seconds() -> float:
    """Return how long a server may take to answer first, of `FOLIO_START_SECONDS` or 180. Raises ServiceError for any other text."""
    text = os.environ.get(START_SECONDS, "180")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ServiceError(f"{START_SECONDS}={text!r} is not a time; give a number of seconds above 0.")
    return seconds


def states() -> dict[str, str]:
    """Return how each service is, by its name."""
    found = {}
    for service in (folio_page(), prefect_server(), mlflow_page()):
        known = started().get(service.name)
        process = known.process() if known is not None else None
        if process is not None:
            # The variable of the port may have changed since.
            service = replace(service, port=int(_port_of(process) or service.port))
            found[service.name] = f"{service.url}, pid {process.pid}" + ("" if _healthy(service) else ", does not answer")
        else:
            found[service.name] = "not running" if not is_listening(service) else f"{service.url}, not started by this home"
    return found


def suspended_runs(service: Service) -> list[tuple[str, str]]:
    """Return the name and the page of each flow run of a Prefect server that waits for a person; no process of it is alive.

    Raises OSError if the server does not answer.
    """
    wanted = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}, "limit": MOST_RUNS}
    request = urllib.request.Request(
        f"{service.url}/api/flow_runs/filter", json.dumps(wanted).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return [(run["name"], f"{service.url}/runs/flow-run/{run['id']}") for run in json.load(answer)]


def require_ours(service: Service) -> None:
    """Raise ServiceError if the server that answers on the port serves another database than this home's."""
    known = started().get(service.name)
    if known is not None and known.serves == service.serves and known.process() is not None:
        return
    holder = listener(service.port)
    serves = _served_by(service, holder)
    if serves != service.serves:
        raise ServiceError(
            f"Port {service.port} is held by a {service.name} that is not this home's: {describe(holder)}. "
            f"It serves {serves or 'something unknown'}, this home's would serve {service.serves}. "
            f"Choose another port: {service.variable}=<port>." + way_to_stop(holder, home())
        )
    if holder is not None and folio_home(holder) == str(home()):
        remember(service.name, leader(holder).pid, service.serves)


def _served_by(service: Service, holder: psutil.Process | None) -> str:
    """Return the database or home that the server on a service's port serves, as far as it can be told."""
    if service.variable == "FOLIO_PREFECT_PORT":
        return _prefect_home(service)
    if holder is None:
        return ""
    return folio_home(holder) if service.variable == "FOLIO_PAGE_PORT" else database_of(holder)


def _prefect_home(service: Service) -> str:
    """Return the folder of a Prefect server's database, as the server says; "" if it does not."""
    try:
        with urllib.request.urlopen(f"{service.url}/api/admin/settings", timeout=ANSWER_SECONDS) as reply:
            return str(json.load(reply).get("home", ""))
    except (OSError, ValueError, http.client.HTTPException):
        return ""
