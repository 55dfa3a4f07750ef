"""A gate's verdicts as a person sees them in a terminal."""

from __future__ import annotations

import pytest

from tasks.reporting.gates import gate_text


def test_a_verdict_that_the_table_has_no_room_for_stands_below_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    reason = "FAILED: is worse by 0.2129 (0.2 to 0.23), and 0.1 is allowed"
    rows = [("after.aim.reward", "0", "beats before: 0.1977", "-0.2129", reason), ("after.questions.seen", "0", ">= 0.5", "-0.5", "passed")]
    lines = gate_text(rows).splitlines()
    assert max(map(len, lines[:4])) <= 100 and "…" in lines[2] and lines[3].endswith("passed")
    assert lines[4:] == [f"after.aim.reward: {reason}"]
