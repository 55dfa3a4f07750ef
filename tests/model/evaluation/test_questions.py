"""Asking questions and recording the replies."""

from __future__ import annotations

import json
from pathlib import Path

from model.evaluation.questions import ask
from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.rewards.answers import first_sentence, is_right


def test_every_question_is_recorded_with_its_reply_and_grade(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    asked = [{"question": f"Who walked to {n}?", "answers": ["zzz"], "fact": f"f{n}"} for n in range(7)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in asked))
    score, records = ask(decoder.decoding(), chat_format, path, answer_tokens=8)
    assert score == 0 and [record["fact"] for record in records] == [f"f{n}" for n in range(7)]
    said = next(record for record in records if record["reply"].strip())
    word = first_sentence(said["reply"])
    path.write_text(json.dumps({"question": said["question"], "answers": [word], "fact": "x"}) + "\n")
    expected = is_right(said["reply"], [word])
    assert ask(decoder.decoding(), chat_format, path, answer_tokens=8)[0] == float(expected)


def test_a_question_too_long_for_the_context_counts_as_wrong_and_is_recorded_as_not_asked(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    questions = ["Who walked?", "Who " * 80, "Who?"]
    path.write_text("".join(json.dumps({"question": text, "answers": ["zzz"]}) + "\n" for text in questions))
    score, records = ask(decoder.decoding(), chat_format, path, answer_tokens=8)
    assert score == 0 and [record["asked"] for record in records] == [True, False, True]
    assert [record["question"] for record in records] == questions and records[1]["reply"] == ""
