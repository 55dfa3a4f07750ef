"""Find folio's home, and the store and MLflow database inside it."""

from __future__ import annotations

import os
from pathlib import Path

JUDGEMENTS = "judgements"  # the folder in a home where its page keeps the journal of judgements


def home() -> Path:
    """Return the folder of databases, logs and, unless a recipe names another, the store: `FOLIO_HOME` or `.folio` here."""
    return Path(os.environ.get("FOLIO_HOME", ".folio")).resolve()


def store_url() -> str:
    """Return the store to use unless a recipe names another."""
    return str(home() / "store")


def tracking_url() -> str:
    """Return the MLflow database to use unless a recipe names another."""
    return f"sqlite:///{home() / 'mlflow.db'}"


def unwritable(folder: Path) -> str:
    """Return why a folder, which need not exist yet, can't be written; empty if it can."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return f"can't be a folder: {existing} is a file"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"can't be written: {existing} is read-only for this user"
