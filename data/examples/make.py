"""Makes examples of the configured kind: from a universe's facts, the books themselves, captioned pictures, or conversations.

Examples from conversations that were read, deduplicated, decontaminated and split, mixed with generated ones.

A conversation becomes a line of instructions, preferences or labels, by its kind. Lines are shuffled by a hash of the seed and the line,
so equal inputs give equal bytes. Every line lists in `books` the documents whose words it contains: a conversation is one itself. Questions
and test items come from the generated examples; without any, the files of questions are empty. sources.json counts what is learned from
each source. Memory holds the lines of one part.

Questions that a picture or a sound answers, from captioned ones. What is said of pictures is true of sounds.

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
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from data.conversations.records import join_exchanges, kind_of, transcript, write_rows
from data.documents.database import Limits
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.examples.config import ConversationExamples, CorpusExamples, DocumentExamples, PictureExamples, SymbolExamples
from data.examples.corpus import FILES, corpus_examples
from data.shards.pictures import PARTS, PLACEHOLDER, SOUND, Part, Picture, is_sound, read_parts, without_pictures, write_parts
from data.synthetic.symbols import symbol_examples
from data.universe.config import UniverseExamples

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


def make_examples(
    splits: Sequence[Path],
    world: Path | None,
    output: Path,
    config: UniverseExamples | CorpusExamples | ConversationExamples | DocumentExamples | PictureExamples | SymbolExamples,
    generated: Path | None = None,
    passages: Sequence[Path] = (),
    taught: Path | None = None,
    parts: Sequence[Path] = (),
    contaminated: Path | None = None,
    limits: Limits | None = None,
) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines.

    `splits`: the folders of the splits, one for each shard, of books or of conversations; `world`: the universe's world.json, for `kind:
    universe`; `generated`: examples to mix with conversations; `passages` and `taught`: indexes of passages, and what a teacher wrote
    about them; `parts`: the files with the documents' pictures; `contaminated`: which of what the teacher wrote holds text that is held
    out; `limits`: of the database that finds passages, needed where examples show any. Raise ValueError if a universe is needed and
    `world` is None.
    """
    if isinstance(config, DocumentExamples):
        from data.examples.documents import document_examples

        assert taught is not None, "a teacher wrote them"
        return document_examples(passages, taught, output, config, contaminated, limits)
    if isinstance(config, PictureExamples):
        return picture_examples(splits, parts, output, config)
    if isinstance(config, ConversationExamples):
        return gather_examples(splits, generated, output, config)
    if isinstance(config, SymbolExamples):
        return symbol_examples(splits, output, config.questions)
    counts = _made(splits, world, output, config) | _problems(output, config)
    if config.turns > 1:
        counts["instructions_train"] = join_exchanges(output / "instructions_train.jsonl", config.turns, config.seed)
    return counts


def _made(splits: Sequence[Path], world: Path | None, output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Write what is made from books or from the facts of a universe."""
    if isinstance(config, CorpusExamples):
        return corpus_examples(splits, output, config)
    if world is None:
        raise ValueError("examples.kind 'universe' needs the universe as a source; set examples.kind: corpus for other texts")
    from data.universe.examples import universe_examples

    counts = universe_examples(world, output, config)
    if config.skills:
        from data.universe.skills import add_skills

        counts |= add_skills(world, output, config)
    if config.events is not None:
        from data.universe.events import add_events
        from data.universe.examples import read_facts, split_facts

        facts = read_facts(world, config)
        seen, _ = split_facts([fact for fact in facts if not fact.rare], config)
        counts |= add_events(splits, output, facts, seen, config.events)
    return counts


def _problems(output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Add the problems that are asked for, if any; return the numbers of lines of the files that changed."""
    if config.programs is None and not config.gym:
        return {}
    from data.problems.make import add_problems

    return add_problems(output, config.programs, config.gym, config.seed)


KINDS = ("instructions", "preferences", "labels")
HALVES = ("train", "val")
QUESTIONS = ("questions_seen", "questions_heldout")
ASKED = ("questions_*.jsonl", "skills_test.jsonl")


def gather_examples(conversations: Sequence[Path], generated: Path | None, output: Path, config: ConversationExamples) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines, and of those from conversations.

    `conversations`: the folders of their splits, one for each shard; `generated`: that of generated examples.
    Raise ValueError if no conversation is left for training.
    """
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    sources: dict[str, dict[str, int]] = {}
    for part in HALVES:
        lines: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for value in _read(split_files(conversations, part)):
            lines[kind_of(value)].append(json.dumps(value, ensure_ascii=False))
            source = sources.setdefault(value["topic"], {"documents": 0, "characters": 0})
            if part == "train":
                source["documents"] += 1
                source["characters"] += len(transcript(value))
        metrics |= {f"{kind}_{part}_read": float(len(lines[kind])) for kind in KINDS}
        if part == "train" and not any(lines.values()):
            raise ValueError(
                "no conversation of examples.sources is left for training; folio corpus show tells of each where it went, so correct the "
                "sources, or lower examples.validation_fraction"
            )
        for kind in KINDS:
            more = generated / f"{kind}_{part}.jsonl" if generated is not None else None
            lines[kind] += list(_generated(more)) if more is not None and more.is_file() else []
            lines[kind].sort(key=lambda line: hashlib.sha256(f"{config.seed}:{line}".encode()).digest())
            (output / f"{kind}_{part}.jsonl").write_text("".join(f"{line}\n" for line in lines[kind]), encoding="utf-8")
            metrics[f"{kind}_{part}"] = float(len(lines[kind]))
    (output / "sources.json").write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    asked = [path for name in ASKED for path in generated.glob(name)] if generated is not None else []
    for name in sorted({*QUESTIONS, *(path.stem for path in asked)}):
        content = (generated / f"{name}.jsonl").read_bytes() if generated is not None else b""
        (output / f"{name}.jsonl").write_bytes(content)
        metrics[name] = float(content.count(b"\n"))
    return metrics


def _read(split: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the conversations of a split, each with the name of its source as topic."""
    for batch in merged(split, ("id", "source", "metadata")):
        for row in batch.to_pylist():
            told: dict[str, Any] = json.loads(json.loads(row["metadata"])["conversation"])
            yield {**told, "topic": row["source"], "books": [row["id"]]}


def _generated(path: Path) -> Iterator[str]:
    """Yield the lines of a file of generated examples. Those about a universe are made from its facts, and hold no document's words."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            value = json.loads(line)
            yield line if "books" in value else json.dumps({**value, "books": []}, ensure_ascii=False)
