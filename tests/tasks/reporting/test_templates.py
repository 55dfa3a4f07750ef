"""Compiled templates: kept where Python keeps compiled modules, and never in place of what a template says now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.reporting import page


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of templates with one of them, and the folder where compiled ones are kept."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(page, "HERE", tmp_path)
    monkeypatch.setattr(page, "COMPILED", tmp_path / "kept")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "note.html.jinja").write_text("<p>{{ text }}</p>")
    return tmp_path / "kept"


def shown() -> str:
    return page.environment().get_template("note.html.jinja").render(text="a < b")


def test_a_kept_template_says_what_it_said_before_it_was_kept(kept: Path) -> None:
    first = shown()
    (compiled,) = kept.iterdir()
    written = compiled.stat().st_mtime_ns
    assert [first, shown()] == ["<p>a &lt; b</p>"] * 2
    assert compiled.stat().st_mtime_ns == written


def test_a_template_that_has_changed_is_compiled_again(kept: Path, tmp_path: Path) -> None:
    shown()
    (tmp_path / "note.html.jinja").write_text("<b>{{ text }}</b>")
    assert shown() == "<b>a &lt; b</b>"


@pytest.mark.parametrize("damage", [lambda found: found[:40], lambda found: found[:-20], lambda found: found[:60] + b"\x93" + found[61:]])
def test_a_kept_template_that_is_damaged_is_compiled_again(kept: Path, damage: Callable[[bytes], bytes]) -> None:
    first = shown()
    (compiled,) = kept.iterdir()
    whole = compiled.read_bytes()
    compiled.write_bytes(damage(whole))
    assert shown() == first
    assert compiled.read_bytes() == whole


def test_nothing_is_kept_if_python_keeps_no_compiled_modules(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert shown() == "<p>a &lt; b</p>"
    assert not list(kept.iterdir())


def test_a_folder_that_does_not_exist_keeps_nothing(kept: Path) -> None:
    kept.rmdir()
    assert shown() == "<p>a &lt; b</p>"
