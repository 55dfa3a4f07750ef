"""A run whose artifacts are made by hand, for tests of its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.reporting.example_run import RunMaker


@pytest.fixture
def maker(home: Path) -> RunMaker:
    """An empty run in a home of its own."""
    return RunMaker(home)
