"""Questions about captioned pictures: who is asked about what, and that held-out pictures are in no lesson."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.examples.config import PictureExamples
from data.examples.make import BLANK, make_examples
from data.shards.pictures import PARTS, Part, Picture, named_pictures, read_parts, write_parts
from tests.data.tokens.corpora import write_split


def picture(number: int) -> Picture:
    return Picture("L", 2, 2, bytes([number] * 4))


def made(tmp_path: Path, train: list[str], test: list[str], **keys: Any) -> dict[str, list[dict[str, Any]]]:
    """Make examples of these texts; return the lines of each file."""
    for name, texts in (("train", train), ("val", []), ("test", test)):
        path = write_split(tmp_path / "splits" / f"{name}.parquet", texts or ["nothing"], source=name)
        write_ids(path, name)
    parts = [Part(f"train{n}" if n < 40 else f"test{n - 40}", "s", "p", picture(n)) for n in range(60)]
    write_parts(tmp_path / PARTS, parts)
    make_examples([tmp_path / "splits"], None, tmp_path / "out", PictureExamples(**keys), parts=[tmp_path / PARTS])
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in (tmp_path / "out").glob("*.jsonl")}


def write_ids(path: Path, name: str) -> None:
    """Name the documents of a split after it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    ids = pa.array([f"{name}{number}" for number in range(len(table))])
    pq.write_table(table.set_column(0, "id", ids), path)


TRAIN = [f"{picture(n).placeholder}\n\ncaption {n}" for n in range(40)]
TEST = [f"{picture(n).placeholder}\n\ncaption {n}" for n in range(40, 60)]


def test_held_out_pictures_are_asked_about_and_in_no_lesson(tmp_path: Path) -> None:
    lines = made(tmp_path, TRAIN, TEST, question="What?", validation_fraction=0.2, questions=10)
    learned = [line["messages"] for name in ("instructions_train", "instructions_val") for line in lines[name]]
    assert len(learned) == 40 and lines["instructions_val"] and len(lines["questions_heldout"]) == len(lines["questions_blind"]) == 10
    held = {name for text in TEST for name in named_pictures(text)}
    assert not held & set(named_pictures(str(learned))) and set(named_pictures(str(lines["questions_heldout"]))) < held
    assert {tuple(m["content"] for m in turns) for turns in learned} == {
        (f"{picture(n).placeholder}\nWhat?", f"caption {n}") for n in range(40)
    }
    blind, seeing = lines["questions_blind"], lines["questions_heldout"]
    assert {line["question"] for line in blind} == {f"{BLANK.placeholder}\nWhat?"}
    assert [line["answers"] for line in blind] == [line["answers"] for line in seeing]
    kept = {part.picture for part in read_parts([tmp_path / "out" / PARTS])}
    assert kept == {BLANK, *map(picture, range(60))}


def test_lines_of_questions_in_a_caption_are_asked_instead(tmp_path: Path) -> None:
    caption = "A red circle.\nQ: Which colour?\nA: red\n\nQ: Which shape?\n\nA: circle\nThe end."
    lines = made(tmp_path, [f"{picture(1).placeholder}\n{caption}"], TEST, validation_fraction=0)
    asked = {tuple(m["content"].rpartition("\n")[2] for m in line["messages"]) for line in lines["instructions_train"]}
    assert asked == {("Which colour?", "red"), ("Which shape?", "circle")}
    assert {line["books"][0] for line in lines["instructions_train"]} == {"train0"}


@pytest.mark.parametrize(("train", "test", "fault"), [(["words"], TEST, "train.parquet has no"), (TRAIN, ["a page"], "by split.test")])
def test_splits_without_captioned_pictures_are_refused(tmp_path: Path, train: list[str], test: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        made(tmp_path, train, test)


def test_answers_that_come_again_are_what_a_guesser_chooses_from(tmp_path: Path) -> None:
    said = [f"{picture(n).placeholder}\n\nQ: Where?\nA: {'left' if n % 3 else 'right'}\n\nQ: Which?\nA: number {n}" for n in range(50)]
    lines = made(tmp_path, said[:40], said[40:])
    for name in ("questions_seen", "questions_heldout", "questions_blind"):
        choices = {line["question"].rpartition("\n")[2]: line.get("choices") for line in lines[name]}
        assert choices == {"Where?": ["left", "right"], "Which?": None}


def test_moving_pictures_are_asked_about_with_their_frames_in_another_order(tmp_path: Path) -> None:
    moving = [Picture("L", 2, 1, bytes(range(n, n + 8)), 4) for n in range(50)]
    said = [f"{one.placeholder}\n\nQ: Where?\nA: {'left' if n % 3 else 'right'}" for n, one in enumerate(moving)]
    for name, texts in (("train", said[:40]), ("val", []), ("test", said[40:])):
        write_ids(write_split(tmp_path / "splits" / f"{name}.parquet", texts or ["nothing"], source=name), name)
    write_parts(tmp_path / PARTS, [Part(f"train{n}" if n < 40 else f"test{n - 40}", "s", "p", one) for n, one in enumerate(moving)])
    counts = make_examples([tmp_path / "splits"], None, tmp_path / "out", PictureExamples(), parts=[tmp_path / PARTS])
    heldout, shuffled = (
        [json.loads(line) for line in (tmp_path / "out" / f"questions_{name}.jsonl").read_text().splitlines()]
        for name in ("heldout", "shuffled")
    )
    assert counts["questions_shuffled"] == 10 and [line["fact"] for line in shuffled] == [line["fact"] for line in heldout]
    parts = {part.picture.name: part for part in read_parts([tmp_path / "out" / PARTS]) if part.picture is not None}
    for line, other in zip(heldout, shuffled, strict=True):
        ours, theirs = (parts[named_pictures(one["question"])[0]] for one in (line, other))
        assert ours.picture is not None and theirs.picture is not None and ours.id == theirs.id == line["books"][0]
        assert sorted(ours.picture.stills) == sorted(theirs.picture.stills) and ours.picture != theirs.picture
