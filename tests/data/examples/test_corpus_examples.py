"""Examples made from the books themselves: literal, checkable, and without what is held out."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from data.examples.config import CorpusExamples
from data.examples.make import make_examples
from data.universe.config import UniverseExamples
from tests.data.dedup.books import bytes_of, prose, write

CAST = ("HAMLET", "HORATIO", "OPHELIA", "GHOST")
TITLES = {"p1": "The Tragedie of Omelette", "p2": "OMELETTE, a Tragedy", "n1": "On Rivers", "n2": "Csample01", "n3": "The Mill"}
Lines = dict[str, list[dict[str, Any]]]


def _play(seed: int) -> str:
    random = Random(seed)
    sentences = [part for part in prose(seed, paragraphs=30).replace("\n\n", " ").split(". ") if part]
    return "\n\n".join(f"{random.choice(CAST)}.\n{sentence.rstrip('.')}." for sentence in sentences)


TEXTS = {"p1": _play(1), "p2": _play(2), "n1": prose(3, paragraphs=20), "n2": prose(4, paragraphs=20), "n3": prose(5, paragraphs=20)}
CONFIG = CorpusExamples(passages_per_book=40, max_words=40)


def _make(
    folder: Path, texts: dict[str, str], config: CorpusExamples = CONFIG, order: list[str] | None = None
) -> tuple[Path, dict[str, float]]:
    write(folder, texts, titles={name: TITLES.get(name, f"Title {name}") for name in texts}, order=order).rename(folder / "train.parquet")
    return folder / "out", make_examples([folder], None, folder / "out", config)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    output, metrics = _make(tmp_path_factory.mktemp("examples"), TEXTS)
    found = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in output.iterdir()}
    assert {name: len(rows) for name, rows in found.items()} == {name: int(count) for name, count in metrics.items() if name != "passages"}
    assert all(found.values()) and len(found) == 6
    return found


def _shown_in_training(made: Lines) -> str:
    names = ("instructions_train", "instructions_val", "preferences_train", "preferences_val", "questions_seen")
    return "\n".join(json.dumps(row) for name in names for row in made[name])


def _quoted(question: str) -> str:
    """Return the book's own words inside a question."""
    return question.split("? ", 1)[1].rsplit(".", 1)[0].split(": ")[-1]


def test_what_a_held_out_question_quotes_is_in_no_example(made: Lines) -> None:
    shown = _shown_in_training(made)
    for row in made["questions_heldout"]:
        assert json.dumps(row["question"]) not in shown and _quoted(str(row["question"])) not in shown


def test_answers_are_literally_in_the_books(made: Lines) -> None:
    flat = {name: " ".join(text.split()) for name, text in TEXTS.items()}
    for row in [*made["instructions_train"], *made["instructions_val"]]:
        question, answer = (str(message["content"]) for message in row["messages"])
        if row["topic"] == "continue":
            quoted = question.split("? ", 1)[-1].split(": ", 1)[-1]
            assert any(quoted in text and answer in text for text in flat.values())
        elif row["topic"] == "which_book":
            assert _quoted(question) in flat[next(name for name, title in TITLES.items() if title == answer)]
        else:
            assert answer.upper() in CAST and any(_quoted(question) in text for text in (flat["p1"], flat["p2"]))


def test_a_speaker_question_names_the_true_speaker_and_one_other_of_the_play(made: Lines) -> None:
    rows = [row for row in made["questions_seen"] if str(row["question"]).startswith("Who says this?")]
    assert rows
    for row in rows:
        (answer,) = row["answers"]
        assert any(f"{answer.upper()}. {_quoted(str(row['question']))}" in " ".join(TEXTS[play].split()) for play in ("p1", "p2"))


def test_books_are_told_apart_only_by_titles_that_differ_and_say_something(made: Lines) -> None:
    asked = [str(row["messages"][0]["content"]) for row in made["instructions_train"] if row["topic"] == "which_book"]
    assert asked and not any("Csample01" in question for question in asked)
    assert not any("Omelette" in question and "OMELETTE" in question for question in asked)


def test_a_preference_rejects_another_answer_to_the_same_question(made: Lines) -> None:
    for row in made["preferences_train"]:
        assert row["chosen"] and row["rejected"] and row["chosen"] != row["rejected"] and len(row["messages"]) == 1


def test_candidates_are_other_answers_of_the_same_kind_and_of_no_held_out_passage(made: Lines) -> None:
    flat = {name: " ".join(text.split()) for name, text in TEXTS.items()}
    held_out = {_quoted(str(row["question"])) for row in made["questions_heldout"]}
    kinds = set()
    for row in [*made["preferences_train"], *made["preferences_val"]]:
        candidates: list[str] = row["candidates"]
        question = str(row["messages"][0]["content"])
        assert row["chosen"] not in candidates and row["rejected"] not in candidates and not held_out & set(candidates)
        if question.startswith("Which book"):
            assert set(candidates) <= set(TITLES.values())
        elif question.startswith("Who"):
            assert {name.upper() for name in candidates} <= set(CAST)
        else:
            assert all(any(text in flat[book] for book in row["books"]) for text in candidates)
        kinds |= {question.partition(" ")[0]} if candidates else set()
    assert len(kinds) >= 3


def test_a_line_names_the_books_whose_words_it_holds_and_no_other(made: Lines) -> None:
    flat = {name: " ".join(text.split()) for name, text in TEXTS.items()}
    lent = 0
    for row in (row for rows in made.values() for row in rows):
        question = str(row["question"] if "question" in row else row["messages"][0]["content"])
        said = question.split("? ", 1)[-1].split(": ")[-1].rsplit(".", 1)[0]
        texts = [said, *(str(row[side]) for side in ("chosen", "rejected") if side in row), *row.get("answers", ())]
        # A name or a title is shorter than any passage; the right words in disorder are in no book.
        holding = {name for name, text in flat.items() for words in texts if len(words.split()) > 5 and words in text}
        assert holding <= set(row["books"]), row
        assert all(any(part in flat[book] for part in texts) for book in row["books"])
        lent += len(row["books"]) > 1
    assert lent, "some wrong answers are other books' words"


def test_neither_the_order_of_books_nor_a_second_run_changes_a_byte_and_the_seed_does(tmp_path: Path) -> None:
    first = bytes_of(_make(tmp_path / "a", TEXTS)[0])
    assert first == bytes_of(_make(tmp_path / "b", TEXTS, order=sorted(TEXTS, reverse=True))[0])
    assert first != bytes_of(_make(tmp_path / "c", TEXTS, CONFIG.model_copy(update={"seed": 1}))[0])


def test_four_sentences_are_enough_and_none_is_an_error(tmp_path: Path) -> None:
    texts = {"1": "The cat sat.", "2": "The dog slept.", "3": "The cat slept.", "4": "The dog sat."}
    _, metrics = _make(tmp_path / "four", texts)
    assert metrics["passages"] == 4 and metrics["instructions_train"] >= 2
    with pytest.raises(ValueError, match="no sentence of two words"):
        _make(tmp_path / "none", {"1": "No."})
    with pytest.raises(ValueError, match=r"set examples\.kind: corpus"):
        make_examples([tmp_path], None, tmp_path, UniverseExamples())
