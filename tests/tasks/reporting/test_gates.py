"""A gate's verdicts as a person sees them in a terminal."""

from __future__ import annotations

import pytest

from tasks.reporting.gates import gate_text

ROWS = [
    ("after.aim.reward", "0", "beats before: 0.1977", "-0.2129", "FAILED: is worse by 0.2129 (0.2 to 0.23), and 0.1 is allowed"),
    ("int8.test.bits_per_byte", "1", "<= 1.05 x release.test.bits_per_byte", "+0.05", "passed"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_value_bound_or_verdict_is_cut_whatever_the_terminals_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = gate_text(ROWS).splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert all(cell in said for row in ROWS for cell in row) and "…" not in said
    assert ("----" in said) is (width == 200), "columns where they fit, else a line for each cell"
