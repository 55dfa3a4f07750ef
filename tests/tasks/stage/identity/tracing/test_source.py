"""A source is the repository as of one moment, whatever is edited afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.identity.tracing.source import Source, SourceMissing
from tests.tasks.stage.identity.tracing.programs import repository

NEAR = {"toy/near.py": "LIMIT = 1\n", "toy/rule.txt": "one"}


def test_a_snapshot_keeps_what_is_edited_added_and_deleted_later(tmp_path: Path) -> None:
    root = repository(tmp_path / "site", NEAR)
    frozen = Source.snapshot(root, tmp_path / "home")
    (root / "toy/near.py").write_text("LIMIT = 2\n")
    (root / "toy/new.py").write_text("")
    (root / "toy/rule.txt").unlink()
    assert frozen.text("toy/near.py") == b"LIMIT = 1\n"
    assert frozen.listing("toy") == ("__init__.py", "near.py", "rule.txt")
    assert Source.of(root).listing("toy") == ("__init__.py", "near.py", "new.py")


def test_an_unchanged_repository_has_one_snapshot(tmp_path: Path) -> None:
    root = repository(tmp_path / "site", NEAR)
    assert Source.snapshot(root, tmp_path / "home").manifest == Source.snapshot(root, tmp_path / "home").manifest


def test_what_git_would_not_track_is_no_source(tmp_path: Path) -> None:
    ignored = {
        ".gitignore": "*.log\nout/\n",
        "toy/run.log": "",
        "toy/out/a.txt": "",
        "toy/__pycache__/near.pyc": "",
        ".venv/pyvenv.cfg": "",
    }
    root = repository(tmp_path / "site", {**NEAR, **ignored, "store/a.py": "", "toy/.rules": ""})
    source = Source.of(root, exclude=[root / "store"])
    assert source.listing("toy") == (".rules", "__init__.py", "near.py", "rule.txt")
    assert source.listing("") == (".gitignore", "toy/")
    assert source.relative(str(root / "store" / "a.py")) is None
    assert source.relative(str(root / "toy" / "out" / "a.txt")) is None


def test_a_damaged_snapshot_is_refused_by_name(tmp_path: Path) -> None:
    root = repository(tmp_path / "site", NEAR)
    manifest = Source.snapshot(root, tmp_path / "home").manifest
    assert manifest is not None
    blob = tmp_path / "home" / "files" / Source.of(root).digest_of("toy/near.py")
    blob.write_text("LIMIT = 3\n")
    with pytest.raises(SourceMissing, match=r"toy/near\.py: its copy .* is damaged"):
        Source.opened(manifest).text("toy/near.py")
    manifest.write_text("{}")
    with pytest.raises(SourceMissing, match="the snapshot of the source is damaged"):
        Source.opened(manifest)
    manifest.unlink()
    with pytest.raises(SourceMissing, match="the snapshot of the source is gone"):
        Source.opened(manifest)


def test_documents_beside_the_code_are_read_where_they_lie(tmp_path: Path) -> None:
    root = repository(tmp_path / "site", {**NEAR, "books/a.txt": "A"})
    frozen = Source.snapshot(root, tmp_path / "home")
    (root / "books/a.txt").write_text("B")
    assert not frozen.is_frozen("books/a.txt") and frozen.is_frozen("toy/near.py")
    assert frozen.text("books/a.txt") == b"B"
