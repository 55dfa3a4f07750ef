"""What a book tells next: the answer is what the book goes on to tell, worked out from what was told, and held-out books stay held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.examples.make import make_examples
from data.universe.config import EventPassages, UniverseExamples, UniverseSource
from data.universe.write import truth_table, write_universe

EVENTS = EventPassages(taught=60, heldout=20)
Made = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A universe of clean books, with splits: the last books are held out."""
    folder = tmp_path_factory.mktemp("world")
    write_universe(folder, UniverseSource(books=24, exact_copies=0, near_editions=0, dirty=False))
    books = truth_table(folder / "truth", "clean")
    for name, part in (("train", books[:16]), ("val", books[16:20]), ("test", books[20:])):
        write_split(folder / f"{name}.parquet", part)
    return folder


def write_split(path: Path, books: list[dict[str, Any]]) -> None:
    pq.write_table(pa.table({"id": [book["path"] for book in books], "text": [book["text"] for book in books]}), path)


def made_with(world: Path, output: Path, **settings: Any) -> Made:
    output.mkdir(parents=True, exist_ok=True)
    counts = make_examples([world], world / "world.json", output, UniverseExamples(minimum_books=2, **settings))
    made = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in output.glob("*.jsonl")}
    assert {name: len(rows) for name, rows in made.items()} == counts
    return made


@pytest.fixture(scope="module")
def made(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_with(world, tmp_path_factory.mktemp("examples"), events=EVENTS)


def passage_of(question: str) -> str:
    return question[1 : question.rindex('"')]


def test_the_answer_is_in_the_sentence_that_follows_in_the_book_and_not_in_the_passage(world: Path, made: Made) -> None:
    books = {book["path"]: " ".join(book["text"].split()) for book in truth_table(world / "truth", "clean")}
    for row in [*made["questions_passages"], *made["questions_events"]]:
        words, answer = passage_of(row["question"]), row["answers"][0]
        (book,) = row["books"]
        following = books[book].partition(words)[2].lstrip()
        assert books[book].count(words) == 1 and answer not in words and len(words.split()) <= EVENTS.most_words
        assert answer in following[: following.index(".") + 1], (words, following[:80])
        assert answer in row["choices"] and row["fact"].startswith(f"{book}:")


def test_what_is_taught_is_worked_out_by_what_is_left_and_ends_in_the_answer(made: Made) -> None:
    answers = {row["question"]: row["answers"][0] for row in made["questions_passages"]}
    taught = [row for part in ("train", "val") for row in made[f"instructions_{part}"] if row["topic"] == "events"]
    assert {row["messages"][0]["content"] for row in taught} == set(answers) and len(taught) > 20
    for row in taught:
        asked, said = row["messages"]
        assert answers[asked["content"]] in said["content"]
        told, left = said["thinking"].removeprefix("Told: ").rstrip(".").split(". Left: ")
        assert left not in told and len(told.replace(" and ", ", ").split(", ")) in (2, 3)


def test_passages_held_out_are_of_books_held_out_and_ask_for_seen_facts_alone(world: Path, made: Made) -> None:
    train = set(pq.read_table(world / "train.parquet")["id"].to_pylist())
    assert not {row["books"][0] for row in made["questions_events"]} & train
    assert {row["books"][0] for row in made["questions_passages"]} <= train
    seen = {row["fact"] for row in made["questions_seen"]}
    assert {row["fact"].partition(":")[2] for row in [*made["questions_passages"], *made["questions_events"]]} <= seen


def test_the_same_again_and_without_them_nothing_changes(world: Path, made: Made, tmp_path: Path) -> None:
    assert made_with(world, tmp_path / "again", events=EVENTS) == made
    plain = made_with(world, tmp_path / "plain")
    assert set(made) - set(plain) == {"questions_passages", "questions_events"}
    assert all(made[name] == plain[name] for name in plain if not name.startswith("instructions"))


def test_splits_that_hold_nothing_out_are_refused(world: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in ("train", "val", "test"):
        (copies / f"{name}.parquet").write_bytes((world / "train.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"finds no passage of books held out with at most most_words=60 words; raise it, let split hold"):
        make_examples([copies], world / "world.json", tmp_path / "out", UniverseExamples(minimum_books=2, events=EVENTS))
