"""One universe, written once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.universe.config import UniverseSource
from data.universe.write import truth_table, write_universe


@pytest.fixture(scope="session")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default universe, with faults and its truth."""
    directory = tmp_path_factory.mktemp("universe")
    write_universe(directory, UniverseSource())
    return directory


@pytest.fixture(scope="session")
def clean(universe: Path) -> dict[str, str]:
    """The true text of every file, by path."""
    return {row["path"]: row["text"] for row in truth_table(universe / "truth", "clean")}


@pytest.fixture(scope="session")
def dirty(universe: Path, clean: dict[str, str]) -> dict[str, str]:
    """Every file as found, decoded with the code page it was written in."""
    texts: dict[str, str] = {}
    for path in clean:
        data = (universe / path).read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252")
        texts[path] = text.replace("\r\n", "\n")
    return texts
