"""What is installed: read from its metadata once, and kept in each home."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.identity.tracing import libraries


def test_what_is_installed_is_read_once_for_all_homes_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = libraries.installed(tmp_path / "one")
    assert "duckdb" in first.versions and first.modules["yaml"] == ["pyyaml"]
    monkeypatch.setattr(libraries, "distributions", lambda: pytest.fail("read again"))
    assert libraries.installed(tmp_path / "two") == first
    assert [file.name for file in (tmp_path / "one").iterdir()] == [file.name for file in (tmp_path / "two").iterdir()]


def test_a_library_that_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = tmp_path / "site"
    added.mkdir()
    monkeypatch.syspath_prepend(str(added))
    before = libraries._installed((str(added),), None)
    (added / "newcomer-1.2.dist-info").mkdir()
    (added / "newcomer-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.2\n")
    libraries._installed.cache_clear()  # as a process that begins now
    assert "newcomer" not in before.versions
    assert libraries._installed((str(added),), None).versions["newcomer"] == "1.2"
