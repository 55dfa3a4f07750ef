"""`folio size` proposes a command that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.sizing import SizeRequest, size_recipe

SHORT = "name: mine\ningest: {sources: [{kind: files, name: mine, paths: [books]}]}\n"


def test_the_command_names_the_recipe_so_that_it_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    (tmp_path / "recipe.yaml").write_text(SHORT, encoding="utf-8")
    proposed = size_recipe(str(tmp_path), (), SizeRequest(device="h100", text_bytes=1e6))
    assert f"folio run {tmp_path / 'recipe.yaml'} \\" in proposed
