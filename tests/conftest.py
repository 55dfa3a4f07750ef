"""What all tests share: folio's own home for the session, and one Prefect test server when a test asks for it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from model.hardware.devices import product_environment

# Before anything imports Prefect or MLflow: their settings are read at import.
if "PYTEST_XDIST_WORKER" in os.environ or "FOLIO_HOME" not in os.environ:  # what runs side by side shares no home
    os.environ["FOLIO_HOME"] = tempfile.mkdtemp(prefix="folio-tests-")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # several processes of tests share the cores: none may spin while it waits
os.environ.update({**product_environment(), **os.environ})  # tests compute as stages do
os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir()) / "folio-tests-cache")  # shared: what lies in it is content-addressed
os.environ["COLUMNS"] = "100"  # whatever runs the suite, tables have the width that they have without a terminal

from flows.services import servers
from tests import prefect_server

PORT = "FOLIO_TESTS_PREFECT_PORT"
os.environ.setdefault(PORT, str(prefect_server.free_port()))  # what runs side by side inherits it
os.environ["PREFECT_API_URL"] = f"http://{prefect_server.HOST}:{os.environ[PORT]}/api"
servers.configure()
# A suite started in the background of a script, or by nohup, inherits signals that are ignored, and tests send some.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A busy machine is slow, not wrong; and a suite that passed passes again.
settings.register_profile("folio", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, derandomize=True)
settings.load_profile("folio")


def pytest_unconfigure() -> None:
    """Remove the home that was made for the session."""
    home = Path(os.environ["FOLIO_HOME"])
    if home.name.startswith("folio-tests-") and home.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server with a database of its own, once for all processes of the session."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    here, side_by_side = tmp_path_factory.getbasetemp(), "PYTEST_XDIST_WORKER" in os.environ
    prefect_server.ensure(int(os.environ[PORT]), here.parent if side_by_side else here, os.getppid() if side_by_side else os.getpid())
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folio home."""
    return tmp_path / "home"


class SharedStarts(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Give each process whole files of tests, and those of one folder that share a long start to the same process."""

    together = ("tests/end_to_end/",)

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in self.together if nodeid.startswith(folder)), super()._split_scope(nodeid))


def pytest_collection() -> None:
    """Pause the garbage collector while tests are collected: all that this makes stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Start it again, for what is made from now on."""
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Called by pytest-xdist when tests run in several processes."""
    return SharedStarts(config, log)
