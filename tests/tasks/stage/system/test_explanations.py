"""An error in words that a person can act on."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from tasks.stage.system.explanations import explain


def test_a_full_disk_is_named_with_its_room(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "store" / "rows.parquet"))
    for error in (full, RuntimeError("IO Error: could not write: No space left on device")):
        assert "No space left on device" in explain(error)
        assert " MB free of " in explain(error)
        assert "Free space there. Finished work is kept" in explain(error)
    assert f"The disk of {tmp_path} has " in explain(full)


def test_a_full_disk_is_known_by_the_error_that_caused_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    try:
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.OperationalError as cause:
            raise RuntimeError("the record can't be written") from cause
    except RuntimeError as error:
        assert explain(error).startswith("the record can't be written. The disk of ")


def test_an_error_that_folio_does_not_know_says_how_to_see_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["folio", "plan", "my books/recipe.yaml"])
    told = explain(ZeroDivisionError("division by zero"))
    assert told.startswith("ZeroDivisionError: division by zero. Finished work is kept")
    assert told.endswith("--debug plan 'my books/recipe.yaml'")


def test_a_folder_that_belongs_to_somebody_else_is_not_called_full(tmp_path: Path) -> None:
    told = explain(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "store")))
    assert "Permission denied" in told and "free" not in told
