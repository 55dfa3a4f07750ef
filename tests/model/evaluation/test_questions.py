"""Questions and how answers are graded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.evaluation.questions import ask, first_sentence, is_right, read_questions
from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder


@pytest.mark.parametrize(
    ("reply", "accepted", "right"),
    [
        ("Berlin.", ["Berlin"], True),
        ("It is BERLIN, of course.", ["Berlin"], True),
        ("She lives among Berliners.", ["Berlin"], False),
        ("Paris. No, Berlin.", ["Berlin"], False),
        ("Paris.\nBerlin.", ["Berlin"], False),
        ("\n  Berlin\nParis", ["Berlin"], True),
        ("The ruler is Dr. Ada Finch.", ["Ada Finch"], True),
        ("It was J. Finch who ruled.", ["Finch"], True),
        ("Ada   Finch", ["ada finch"], True),
        ("Ada Finchley", ["Ada Finch"], False),
        ("glass", ["stone", "glass"], True),
        ("In 12 years", ["2"], False),
        ("3.5 miles. Or more.", ["3.5 miles"], True),
        ("It costs C++ (all of it)", ["C++"], True),
        ('"Berlin!" he said', ["Berlin"], True),
        ("", ["Berlin"], False),
        ("anything", ["", "  "], False),
        ("Stra\u00dfe", ["STRASSE"], True),
    ],
)
def test_an_answer_is_right_if_the_first_sentence_contains_it_as_whole_words(reply: str, accepted: list[str], right: bool) -> None:
    assert is_right(reply, accepted) is right


def test_the_first_sentence_does_not_end_at_a_title_or_an_initial() -> None:
    assert first_sentence("Mr. A. Bell came. He left.") == "Mr. A. Bell came."
    assert first_sentence("\u201cCome!\u201d she said. He came.") == "\u201cCome!\u201d"
    assert first_sentence("no end") == "no end"


def test_every_question_is_recorded_with_its_reply_and_grade(decoder: Decoder, chat_format: ChatFormat, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    asked = [{"question": f"Who walked to {n}?", "answers": ["zzz"], "fact": f"f{n}"} for n in range(7)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in asked))
    score, records = ask(decoder, chat_format, path, answer_tokens=8)
    assert score == 0 and [record["fact"] for record in records] == [f"f{n}" for n in range(7)]
    said = next(record for record in records if record["reply"].strip())
    word = first_sentence(said["reply"])
    path.write_text(json.dumps({"question": said["question"], "answers": [word], "fact": "x"}) + "\n")
    expected = is_right(said["reply"], [word])
    assert ask(decoder, chat_format, path, answer_tokens=8)[0] == float(expected)


def test_a_question_too_long_for_the_context_counts_as_wrong_and_is_recorded_as_not_asked(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    questions = ["Who walked?", "Who " * 80, "Who?"]
    path.write_text("".join(json.dumps({"question": text, "answers": ["zzz"]}) + "\n" for text in questions))
    score, records = ask(decoder, chat_format, path, answer_tokens=8)
    assert score == 0 and [record["asked"] for record in records] == [True, False, True]
    assert [record["question"] for record in records] == questions and records[1]["reply"] == ""


@pytest.mark.parametrize("line", ["not json", '{"question": "x"}', '{"question": "x", "answers": []}', "[1]"])
def test_a_line_that_is_not_a_question_is_refused_by_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "x", "answers": ["y"]}\n' + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        read_questions(path)
