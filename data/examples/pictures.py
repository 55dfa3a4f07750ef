"""Questions that a picture or a sound answers, from captioned ones. What is said of pictures is true of sounds.

A document that is a picture and its caption gives questions: each line `Q: ...` of the caption with the line `A: ...` behind it, or, of a
caption without such lines, the recipe's own question, which the caption answers. Only held-out questions have pictures of the test split.
The same questions about a blank picture, or silence, are the set `blind`: what can be answered without looking. Those about moving pictures
whose frames are shuffled are the set `shuffled`, there if any moves: what can be answered without their order. Every line lists its
document in `books`, and `choices` where the training pictures answer the same words in a few ways: what a guesser may choose from.

The result depends on documents and seed, not on their order. Memory: the captions, the names of the pictures, and those that move among the
held-out ones.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from data.conversations.records import write_rows
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.examples.config import PictureExamples
from data.examples.corpus import FILES
from data.shards.pictures import PARTS, PLACEHOLDER, SOUND, Part, Picture, is_sound, read_parts, without_pictures, write_parts

BLIND, SHUFFLED = "questions_blind", "questions_shuffled"
BLANK = Picture("L", 1, 1, b"\x80")  # a mid gray, whose patches are as good as zeros
SILENCE = Picture(SOUND, 1, 1, bytes(2))
TOLD = re.compile(r"^Q:[ \t]*(\S.*)\n+A:[ \t]*(\S.*)$", re.MULTILINE)


class Asked(NamedTuple):
    """A question about the picture of a document, which has this placeholder, and its answer."""

    document: str
    picture: str
    number: int
    question: str
    answer: str

    @property
    def fact(self) -> str:
        """The question's name: document and number."""
        return f"{self.document}:{self.number}"

    def lot(self, seed: int, why: str) -> int:
        """Return a number below 2^64 by which questions are shuffled, or chosen."""
        return int.from_bytes(hashlib.sha256(f"{seed}:{why}:{self.fact}".encode()).digest()[:8], "big")


def picture_examples(splits: Sequence[Path], parts: Sequence[Path], output: Path, config: PictureExamples) -> dict[str, float]:
    """Write the JSON Lines files that examples have, questions_blind.jsonl and parts.parquet; return the number of lines of each.

    Raise ValueError if the training or the test split has no captioned picture."""
    asked = {split: list(_questions(split_files(splits, split), config)) for split in ("train", "test")}
    for split, way in (("train", "give the sources pictures with captions"), ("test", "hold some out by split.test")):
        if not asked[split]:
            raise ValueError(f"{split}.parquet has no document that is a picture and a caption, so nothing can be asked; {way}")
    known = _choices(asked["train"])
    disordered = [
        (part.picture.placeholder, part._replace(picture=_shuffled(part.picture)))
        for part in read_parts(parts, {one.document for one in asked["test"]})
        if part.picture is not None and part.picture.frames > 1 and len(set(part.picture.stills)) > 1
    ]
    shuffled = {mark: part.picture.placeholder for mark, part in disordered if part.picture is not None}
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in (*FILES, BLIND, *([SHUFFLED] if shuffled else []))}
    held = config.validation_fraction * 2**64
    for one in sorted(asked["train"], key=lambda one: one.lot(config.seed, "order")):
        group = "val" if one.lot(config.seed, "validation") < held else "train"
        turns = [{"role": "user", "content": _content(one)}, {"role": "assistant", "content": one.answer}]
        lines[f"instructions_{group}"].append({"messages": turns, "topic": "pictures", "books": [one.document]})
        if group == "train":
            lines["questions_seen"].append(_line(one, known))
    for one in sorted(asked["test"], key=lambda one: one.lot(config.seed, "order")):
        lines["questions_heldout"].append(_line(one, known))
        lines[BLIND].append(_line(one._replace(picture=_blank(one).placeholder), known))
        if shuffled:
            lines[SHUFFLED].append(_line(one._replace(picture=shuffled.get(one.picture, one.picture)), known))
    output.mkdir(parents=True, exist_ok=True)
    counts: dict[str, float] = {}
    for name, rows in lines.items():
        kept = rows[: config.questions] if name.startswith("questions") else rows
        counts[name] = write_rows(output / f"{name}.jsonl", kept)
    blanks = [Part("", "", "blank", blank) for blank in (BLANK, SILENCE) if blank in {_blank(one) for one in asked["test"]}]
    ids = {one.document for split in asked.values() for one in split}
    counts["pictures"] = float(write_parts(output / PARTS, chain(blanks, read_parts(parts, ids), (part for _, part in disordered))))
    return counts


def _questions(split: Sequence[Path], config: PictureExamples) -> Iterator[Asked]:
    for batch in merged(split, ("id", "text")):
        for row in batch.to_pylist():
            found = PLACEHOLDER.match(row["text"] or "")
            caption = row["text"][found.end() :].strip() if found else ""
            if not found or not caption or without_pictures(caption) != caption:
                continue
            told = TOLD.findall(caption) or [(config.question, caption)]
            for number, (question, answer) in enumerate(told):
                yield Asked(row["id"], found[0], number, question.strip(), answer.strip())


def _content(one: Asked) -> str:
    return f"{one.picture}\n{one.question}"


def _blank(one: Asked) -> Picture:
    """Return what says nothing, in place of a question's picture or sound."""
    return SILENCE if is_sound(one.picture) else BLANK


def _shuffled(picture: Picture) -> Picture:
    """Return a moving picture with its frames in another order, which follows from its name."""
    order, rng = picture.stills, Random(f"shuffled:{picture.name}")
    while order == picture.stills:
        rng.shuffle(order)
    return picture._replace(pixels=b"".join(order))


def _choices(asked: Sequence[Asked]) -> dict[str, list[str]]:
    """Return the answers to each question that is answered in two ways or more, each given twice or more on the mean."""
    given: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in asked:
        given[one.question][one.answer] += 1
    return {question: sorted(answers) for question, answers in given.items() if 1 < len(answers) <= answers.total() / 2}


def _line(one: Asked, known: Mapping[str, list[str]]) -> dict[str, Any]:
    line = {"question": _content(one), "answers": [one.answer], "fact": one.fact, "books": [one.document]}
    return line | ({"choices": known[one.question]} if one.question in known else {})
