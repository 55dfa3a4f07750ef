"""Find folio's home, and the store and MLflow database inside it."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of databases, logs and, unless a recipe names another, the store: `FOLIO_HOME` or `.folio` here."""
    return Path(os.environ.get("FOLIO_HOME", ".folio")).resolve()


def store_url() -> str:
    """Return the store to use unless a recipe names another."""
    return str(home() / "store")


def tracking_url() -> str:
    """Return the MLflow database to use unless a recipe names another."""
    return f"sqlite:///{home() / 'mlflow.db'}"
