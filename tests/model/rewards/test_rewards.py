"""What each reward counts, and when a reply is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from model.rewards.answers import Question, first_sentence, is_right, numbers, read_questions
from model.rewards.kinds import Reply, RewardConfig

REWARD: TypeAdapter[RewardConfig] = TypeAdapter(RewardConfig)
WHO: Question = {"question": "Who rules Ravenmoor?", "answers": ["Ada Finch", "Queen Ada"], "fact": "f1"}


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
        ("It is -3.", ["3"], False),
        ("It is \u22123.", ["3"], False),
        ("It is 3.7 miles.", ["3"], False),
        ("It is 1/3.", ["3"], False),
        ("It is 3/4.", ["3"], False),
        ("It is 3,000.", ["3"], False),
        ("It is 3%.", ["3"], False),
        ("It is \u20133.", ["3"], False),
        ("It is .3.", ["3"], False),
        ("It is 1 / 3.", ["3"], False),
        ("It is 3 / 4.", ["3"], False),
        ("It is 1\u20443.", ["3"], False),
        ("It is 3e5.", ["3"], False),
        ("It is 10^3.", ["3"], False),
        ("It is 3**2.", ["3"], False),
        ("It is 3:15.", ["3"], False),
        ("It is 3 %.", ["3"], False),
        ("It is 3\u202f000.", ["3"], False),
        ("It is 3-4.", ["3"], False),
        ("It is 3\u00bd.", ["3"], False),
        ("It is a 3-year-old.", ["3"], True),
        ("It is (3).", ["3"], True),
        ("It is $3, or 3 dollars.", ["3"], True),
        ("4 - 1 = 3", ["3"], True),
        ("It is 3.", ["3"], True),
        ("Three, that is 3, of them", ["3"], True),
        ("It is -3, below zero", ["-3"], True),
        ("3.5 miles. Or more.", ["3.5 miles"], True),
        ("It costs C++ (all of it)", ["C++"], True),
        ('"Berlin!" he said', ["Berlin"], True),
        ("", ["Berlin"], False),
        ("anything", ["", "  "], False),
        ("Stra\u00dfe", ["STRASSE"], True),
        ("<think>\nParis. No.\n</think>\n\nIt is Berlin.", ["Berlin"], True),
        ("<think>\nBerlin.\n</think>\n\nIt is Paris.", ["Berlin"], False),
        ("<think>\nBerlin.", ["Berlin"], False),
    ],
)
def test_an_answer_is_right_if_the_first_sentence_contains_it_as_whole_words(reply: str, accepted: list[str], right: bool) -> None:
    assert is_right(reply, accepted) is right


def test_the_first_sentence_does_not_end_at_a_title_or_an_initial() -> None:
    assert first_sentence("Mr. A. Bell came. He left.") == "Mr. A. Bell came."
    assert first_sentence("\u201cCome!\u201d she said. He came.") == "\u201cCome!\u201d"
    assert first_sentence("no end") == "no end"


@pytest.mark.parametrize("line", ["not json", '{"question": "x"}', '{"question": "x", "answers": []}', "[1]"])
def test_a_line_that_is_not_a_question_is_refused_by_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "x", "answers": ["y"]}\n' + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        read_questions(path)


@pytest.mark.parametrize(
    ("text", "ended", "answer", "concise"),
    [
        ("Ravenmoor is ruled by Ada Finch.", True, 1, 1),
        ("Ravenmoor is ruled by Queen Ada. Long may she live.", True, 1, 0),
        ("Ravenmoor is ruled by Ada Finch", False, 1, 0),
        ("Nobody.", True, 0, 1),
        ("Nobody. Or Ada Finch.", True, 0, 0),
        ("", True, 0, 0),
    ],
)
def test_a_right_answer_and_a_single_sentence_are_rewarded_apart(text: str, ended: bool, answer: float, concise: float) -> None:
    reply = Reply(WHO, text, ended)
    assert [REWARD.validate_python({"kind": kind}).build().score(reply) for kind in ("answer", "concise")] == [answer, concise]


def test_an_unknown_kind_of_reward_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="'answer', 'concise'"):
        REWARD.validate_python({"kind": "flattery"})


def test_fractions_signs_and_thousands_are_one_number_each() -> None:
    assert numbers("1/4 of 3,000 is 750, not \u2212750 or -7.5") == [0.25, 3000, 750, -750, -7.5]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (".5", 0.5),
            ("-.5", -0.5),
            ("3e5", 3e5),
            ("1.5E-3", 0.0015),
            ("1 / 4", 0.25),
            ("1\u20444", 0.25),
            ("10^3", 1000),
            ("2**-1", 0.5),
        ),
        *(
            ("\u20133", -3),
            ("3\u202f000", 3000),
            ("3'000'000", 3e6),
            ("-3^2", -9),
            ("1e999999999", float("inf")),
            ("9" * 5000, float("inf")),
        ),
        *(("9^999999", float("inf")), ("1/0", 1), ("0^-1", float("inf")), ("4 - 1 = 3", 3), ("3.", 3), ("\u0663", 3)),
    ],
)
def test_a_number_is_read_in_every_usual_spelling(text: str, value: float) -> None:
    assert numbers(f"So it is {text}")[-1] == value


@pytest.mark.parametrize(
    "wrong", ["-3", "3.7", "1/3", "1 / 3", ".3", "3e5", "10^3", "3/4", "\u20133", "1\u20443", "3,000", "3\u202f000", "2-3"]
)
@pytest.mark.parametrize("kind", ["answer", "number", "sole"])
def test_no_other_number_counts_as_three(wrong: str, kind: str) -> None:
    reward, three = REWARD.validate_python({"kind": kind}).build(), Question(question="How many?", answers=["3"], fact="f")
    assert reward.score(Reply(three, f"There are {wrong}.", True)) == 0
    assert reward.score(Reply(three, "There are 3.", True)) == 1
