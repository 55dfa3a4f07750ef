"""Sequences of symbols: each has the one right end that its task defines, and questions ask for exactly that."""

from __future__ import annotations

import json
from functools import reduce
from itertools import permutations
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from data.baselines.measure import chances
from data.documents.rows import DOCUMENTS, write_rows
from data.documents.sharding import split_files
from data.synthetic.config import SymbolsMaker, SymbolTask, SyntheticSource
from data.synthetic.symbols import question_of, sequences, symbol_examples
from data.synthetic.text_table import read_texts, write_texts

TASKS = get_args(SymbolTask)


def made(task: str, **more: object) -> list[str]:
    own = {"symbols": 4} if task == "permutations" else {}
    return list(sequences(SymbolsMaker.model_validate({"task": task, "count": 300, "longest": 9, **own, **more})))


def parts(text: str) -> tuple[list[str], list[str]]:
    before, _, end = text.rpartition(" ? ")
    return before.split()[2 if text.startswith("selective") else 1 :], end.split()


def composed(moves: list[str]) -> str:
    """The product of permutations as functions of places, written without looking at how the maker does it."""
    places = sorted(moves[0])
    functions = [dict(zip(places, move, strict=True)) for move in moves]
    return "".join(reduce(lambda at, move: move[at], reversed(functions), place) for place in places)


def test_each_end_is_what_the_task_defines() -> None:
    for text in made("recall", queries=3):
        words, end = parts(text)
        pairs = dict(zip(words[::2], words[1::2], strict=True))
        assert len(pairs) == len(words) / 2 and all(pairs[key] == value for key, value in zip(end[::2], end[1::2], strict=True))
        assert len(end) / 2 == min(3, len(pairs)) == len(set(end[::2]))
    for text in made("induction"):
        words, (asked, answer) = parts(text)
        assert words.count(asked) == 1 and words[words.index(asked) + 1] == answer
    for text in made("copying"):
        words, end = parts(text)
        assert words == end
    for text in made("selective_copying", blanks=5):
        words, end = parts(text)
        assert [word for word in words if word != "."] == end and words.count(".") == 5
    for task, end_of in (("parity", lambda words: str(sum(map(int, words)) % 2)), ("permutations", composed)):
        for text in made(task, queries=3, shortest=2):
            first, *others = text.partition(" ")[2].split(" ? ")
            found, words = [], first.split()
            for other in others:
                answer, *following = other.split()
                assert answer == end_of(words)
                found.append(len(words))
                words = following
            assert len(found) == 3 and found[-1] == 9 and set(found[:-1]) <= set(range(2, 10))


@pytest.mark.parametrize("task", TASKS)
def test_sequences_differ_follow_from_the_seed_and_have_every_length(task: str) -> None:
    texts = made(task)
    assert len(set(texts)) == 300 and texts == made(task) and texts[:50] == made(task, count=50) and texts != made(task, seed=1)
    if task not in ("parity", "permutations"):
        lengths = {len(parts(text)[1 if task.endswith("copying") else 0]) // (2 if task == "recall" else 1) for text in texts}
        assert lengths == set(range(4, 10))


@pytest.mark.parametrize("task", TASKS)
def test_a_question_is_all_but_what_follows_from_it(task: str) -> None:
    for text in made(task):
        asked = question_of(text)
        assert f"{asked['question']} {asked['answers'][0]}" == text and asked["exact"]
        if task.endswith("copying"):
            assert asked["answers"][0].split() == parts(text)[1]
        else:
            assert asked["answers"][0] in asked["choices"] and " " not in asked["answers"][0]


def test_chance_is_that_of_a_guesser_who_knows_the_form() -> None:
    asked = {task: [question_of(text) for text in made(task)] for task in TASKS}
    found = {task: chances(asked[task], []).mean() for task in TASKS}
    assert found["parity"] == 0.5 and found["permutations"] == 1 / len(list(permutations("abcd"))) and found["copying"] < 0.01
    (copy,) = chances([question_of("copying sa sb sa ? sa sb sa")], [])
    assert copy == 2**-3  # two symbols, three places


def test_wishes_that_no_sequences_meet_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"gave 32 different sequences, and count=300 asks for more"):
        made("parity", shortest=3, longest=5, queries=1)
    for wrong, named in (
        ({"task": "permutations", "symbols": 6}, "symbols=6 have too many permutations"),
        ({"task": "recall", "symbols": 8, "longest": 9}, "longest=9 pairs need as many keys"),
        ({"task": "copying", "shortest": 5, "longest": 4}, "shortest=5 is more than longest=4"),
        ({"task": "sorting"}, "task"),
    ):
        with pytest.raises(ValidationError, match=named):
            SymbolsMaker.model_validate(wrong)


def test_held_out_questions_are_of_texts_that_were_not_read(tmp_path: Path) -> None:
    texts = made("recall")
    rows = [
        {"id": f"{number:016x}", "title": "", "source": "s", "text": text, "metadata": "{}", "synthetic": False}
        for number, text in enumerate(texts)
    ]
    for part, chosen in (("train", rows[:200]), ("val", rows[200:250]), ("test", rows[250:])):
        write_rows(tmp_path / f"{part}.parquet", DOCUMENTS, iter(chosen))
    found = symbol_examples([tmp_path], tmp_path / "out", 80)
    assert found["questions_seen"] == found["questions_heldout"] == 80 and found["instructions_train"] == 0
    read = [json.loads(line) for line in (tmp_path / "out" / "questions_heldout.jsonl").read_text().splitlines()]
    trained = {row["text"] for row in rows[:200]}
    assert not any(f"{line['question']} {line['answers'][0]}" in trained for line in read) and all(line["books"] for line in read)
    assert split_files([tmp_path], "val")[0].is_file()


def test_their_texts_are_not_marked_as_a_machines(tmp_path: Path) -> None:
    source = SyntheticSource.model_validate({"maker": {"kind": "symbols", "task": "parity", "count": 20}})
    assert write_texts(tmp_path, "parity", made("parity", count=20), marked=False)["texts"] == 20
    assert {maker for _, maker, _ in read_texts(tmp_path, lambda _: True)} == {""} and source.label == "synthetic"
