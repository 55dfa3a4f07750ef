"""The end of a run shows what the model wrote, and nothing that a terminal would obey."""

from __future__ import annotations

import json
from pathlib import Path

from flows.cli.run import beginnings, conversation


def test_what_a_model_wrote_is_shown_without_control_characters(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A\x1b[2Jcat."}]
    samples = [{"kind": "beginning", "text": "A\x07 cat."}, {"kind": "conversation", "set": "heldout", "messages": messages}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    shown = [*beginnings(tmp_path), *conversation(tmp_path)]
    assert [line.strip() for line in shown if "cat" in line] == ["A␇ cat.", "assistant A␛[2Jcat."]
