"""Advice to install an extra: a command that works in a clone, of an extra that is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from data.sources.fetching.remote import EXTRAS
from flows.cli.preflight import DRIVERS
from flows.recipe.schema import Recipe
from tests.flows.recipe.test_reference import sections

ROOT = Path(__file__).resolve().parents[1]
DECLARED: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
USED = sorted(DECLARED.keys() - {"dev", "proofs"})  # those are of the Makefile's targets
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for room in ("flows", "tasks", "data", "model", "deployments", "README.md")
    for path in ([ROOT / room] if (ROOT / room).is_file() else sorted((ROOT / room).rglob("*")))
    if path.suffix in {".py", ".md", ".jinja", ".yaml"}
}
ADVICE = re.compile(r"-e '\.\[([^\]']*)\]'")


def test_the_package_is_never_asked_of_a_registry_where_the_name_belongs_to_somebody_else() -> None:
    assert [name for name, text in TEXTS.items() if re.search(r"folio\[|pip install '?folio\b", text)] == []


def test_every_extra_that_a_text_says_to_install_is_declared() -> None:
    named = {(name, extra) for name, text in TEXTS.items() for extra in ADVICE.findall(text) if not extra.startswith("{")}
    assert named and [(name, extra) for name, extra in named if extra not in DECLARED] == []


def test_every_table_that_advice_is_made_from_names_declared_extras() -> None:
    libraries = [getattr(model, "LIBRARIES", ()) for model in sections(Recipe, set())]
    variants = {extra for one in libraries if isinstance(one, dict) for extra in one.values()}
    assert variants and variants | DRIVERS.keys() | set(EXTRAS.values()) <= DECLARED.keys()


@pytest.mark.parametrize("extra", USED)
def test_readme_lists_every_extra(extra: str) -> None:
    assert f"`{extra}`" in TEXTS["README.md"].split("## Your first model")[0]


def test_every_requirement_that_is_asked_for_with_an_extra_is_of_a_pip_that_finds_it() -> None:
    # jusText asks for lxml[html_clean], lxml offers html-clean; pip compares the two as one name since 23.3, and warned before.
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^pip==(\d+)\.(\d+)", pins, re.MULTILINE)
    assert pinned and (int(pinned[1]), int(pinned[2])) >= (23, 3)
