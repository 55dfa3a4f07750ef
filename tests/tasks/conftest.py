"""What tests of stages share: a toy pipeline to run, and copies of one migrated MLflow database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tasks.toys import Workshop


@pytest.fixture
def workshop(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """The toy pipeline in an empty folder, on the session's Prefect server, without MLflow."""
    yield Workshop(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def first_store(tmp_path_factory: pytest.TempPathFactory, prefect: None) -> Path:
    """The store that a first run of the toy pipeline leaves, made once a session."""
    with pytest.MonkeyPatch.context() as patch:
        toys = Workshop(tmp_path_factory.mktemp("first"), patch)
        toys.run()
        return Path(toys.store)


@pytest.fixture
def worked(workshop: Workshop, first_store: Path) -> Workshop:
    """The toy pipeline after its first run."""
    shutil.copytree(first_store, workshop.store)
    return workshop


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; migrating one takes seconds, copying it does not."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "template.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> str:
    """The URL of an empty MLflow database."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
