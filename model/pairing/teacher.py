"""Ask a teacher for questions and answers about passages, and each question again, with its passage and without.

The teacher is a model behind an address. Each of its replies is written down before it is used, so a run that was killed asks only for what
lacks. Passages are asked about in an order that the seed decides, a few at a time; a budget of requests or tokens ends asking between such
parts, and what was not asked about is set aside with that reason. Nothing is judged here: taught.jsonl holds every question with its
answer, both further replies, its passage with document and place, the prompt and the teacher's name, marked as synthetic.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.shards.address import TAUGHT, Teaching
from model.pairing.critics import Endpoint, Reply
from model.seeds import draw_seed

WRITE = """Write {count} questions that the passage answers, each with its answer in a few words of the passage.
Each question names what it is about, so that it is understood without the passage.
Write two lines for each and nothing else:
Q: the question
A: the answer

Passage:
{text}"""
OPEN = """Answer the question from the passage, in a few words. If the passage does not answer it, say: unanswerable.

Passage:
{text}

Question: {question}"""
CLOSED = """Answer the question in a few words. If you do not know, say: unanswerable.

Question: {question}"""
SET_ASIDE = "set_aside.jsonl"
PART = 16  # passages that are asked about before the budget is looked at again
PLACE = ("id", "document", "title", "start", "end", "text")
_LINE = re.compile(r"^[\s*#>-]*(?:\d+[.)]\s*)?[*]*([QA])\d*[*]*\s*[:.][*]*\s*(.*\S)\s*$")
WRITING, WITH, WITHOUT = range(3)


def teach(passages: Sequence[Path], output: Path, config: Teaching, *, journal: Path) -> dict[str, float]:
    """Write taught.jsonl and set_aside.jsonl about the rows of `passages` into `output`.

    journal: where replies are kept until the stage is done. Return counts: passages, calls, tokens, questions, set_aside, and
    set_aside.REASON for each reason there was. Raise EndpointError for an address that does not answer.
    """
    drawn = _draw(passages, config)
    teacher = Endpoint(config.teacher, config.max_new_tokens, journal)
    taught: list[dict[str, Any]] = []
    aside: list[dict[str, Any]] = []
    calls, each, start = 0, 1 + 2 * config.questions, 0
    while start < len(drawn):
        room = PART if config.max_calls is None else min(PART, (config.max_calls - calls) // each)
        if room == 0 or (config.max_tokens is not None and teacher.tokens >= config.max_tokens):
            aside += [_aside(passage, "budget", "") for passage in drawn[start:]]
            break
        made, failed = _questions(drawn[start : start + room], start, teacher, config)
        _ask_again(made, teacher, config)
        taught, aside = taught + made, aside + failed
        calls += len(drawn[start : start + room]) + 2 * len(made)
        start += room
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in ((TAUGHT, taught), (SET_ASIDE, aside)):
        (output / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    reasons = Counter(row["reason"] for row in aside)
    counts = {"passages": len(drawn), "calls": calls, "tokens": teacher.tokens, "questions": len(taught), "set_aside": len(aside)}
    counts |= {f"set_aside.{reason}": count for reason, count in sorted(reasons.items())}
    return {name: float(count) for name, count in counts.items()}


def _draw(passages: Sequence[Path], config: Teaching) -> list[dict[str, Any]]:
    """Return at most `config.passages` passages, in the order of a hash of seed and place."""
    found: list[dict[str, Any]] = []
    for path in passages:
        with pq.ParquetFile(path) as file:
            found += file.read(list(PLACE)).to_pylist()
    found.sort(key=lambda row: hashlib.sha256(f"{config.seed}:{row['id']}:{row['start']}".encode()).digest())
    return found[: config.passages]


def _questions(
    passages: Sequence[dict[str, Any]], first: int, teacher: Endpoint, config: Teaching
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the questions that the teacher writes about passages, and the passages without any, each with the reason."""
    prompts = [WRITE.format(count=config.questions, text=passage["text"]) for passage in passages]
    seeds = [draw_seed(config.seed, first + number, WRITING) for number in range(len(passages))]
    made: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for passage, prompt, reply in zip(passages, prompts, _replies(teacher, prompts, seeds), strict=True):
        pairs = [] if reply.problem else read_pairs(reply.text)[: config.questions]
        if not pairs:
            failed.append(_aside(passage, reply.problem or "unreadable", reply.text))
        place = {name: passage[name] for name in PLACE}
        about = {**place, "books": [passage["id"]], "prompt": prompt, "teacher": teacher.name, "synthetic": True}
        made += [{"question": question, "answer": answer, **about} for question, answer in pairs]
    return made, failed


def _ask_again(made: Sequence[dict[str, Any]], teacher: Endpoint, config: Teaching) -> None:
    """Add to each question what the teacher answers with the passage, and without."""
    prompts = [OPEN.format(text=item["text"], question=item["question"]) for item in made]
    prompts += [CLOSED.format(question=item["question"]) for item in made]
    seeds = [draw_seed(config.seed, number, kind) for kind in (WITH, WITHOUT) for number in range(len(made))]
    said = _replies(teacher, prompts, seeds)
    for item, opened, closed in zip(made, said[: len(made)], said[len(made) :], strict=True):
        item |= {"with_passage": opened.text, "without_passage": closed.text}


def _replies(teacher: Endpoint, prompts: Sequence[str], seeds: Sequence[int]) -> list[Reply]:
    return teacher.replies([[{"role": "user", "content": prompt}] for prompt in prompts], seeds)


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Return the questions and answers of a reply: lines that begin with Q: and A:, an answer right after its question."""
    lines = [(match[1], match[2].strip("* ")) for line in text.splitlines() if (match := _LINE.match(line))]
    return [(question, answer) for (one, question), (other, answer) in pairwise(lines) if (one, other) == ("Q", "A")]


def _aside(passage: Mapping[str, Any], reason: str, said: str) -> dict[str, Any]:
    place = {name: passage[name] for name in PLACE if name != "text"}
    return {**place, "books": [passage["id"]], "reason": reason, "said": said}
