"""The end of a run shows what the model wrote, and nothing that a terminal would obey."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.approving import way_out
from flows.cli.run import beginnings, conversation
from flows.recipe.loading import load
from tasks.reporting.gates import gate_text


def test_what_a_model_wrote_is_shown_without_control_characters(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A\x1b[2Jcat."}]
    samples = [{"kind": "beginning", "text": "A\x07 cat."}, {"kind": "conversation", "set": "heldout", "messages": messages}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    shown = [*beginnings(tmp_path), *conversation(tmp_path)]
    assert [line.strip() for line in shown if "cat" in line] == ["A␇ cat.", "assistant A␛[2Jcat."]


@pytest.mark.parametrize("width", ["60", "200"])
def test_a_gate_that_fails_for_what_tuning_cost_says_so_and_names_replay(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    row = ("chat.val.bits_per_byte", "1.9", "<= 1.25 x base.val.bits_per_byte", "-0.65", "FAILED: is out of bounds")
    said = way_out(load("rewarded"), "rewarded", "gate.chat", gate_text([row]), {})
    assert "tuning undid part of what pretraining had learned" in said and "tuning[0].replay=0.25" in said and "--unreleased" in said
    assert "tuning undid" not in way_out(load("rewarded"), "rewarded", "gate.chat", gate_text([(*row[:4], "passed")]), {})
