"""Ask a teacher for questions and answers about passages, and each question again, with its passage and without.

The teacher is a model behind an address, or patterns, which ask nobody and quote what a passage says. Each reply of a model is written
down before it is used, so a run that was killed asks only for what lacks. Passages are asked about in an order that the seed decides, a
few at a time; a budget of requests, tokens or money ends asking between such parts, and what was not asked about is set aside with that
reason. A second model, where one is named, is asked whether the passage says so. Nothing is dropped here: taught.jsonl holds every
question with its answer, all further replies, its passage with document and place, the prompt and the teacher's name, marked as synthetic;
texts.parquet holds the words of each by its number, for who looks for text that is held out.
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

import pyarrow as pa
import pyarrow.parquet as pq

from data.shards.address import TAUGHT, TAUGHT_TEXTS, UNANSWERABLE, Patterns, Teacher, Teaching
from model.pairing.critics import Endpoint, EndpointError, Reply
from model.seeds import draw_seed

WRITE = """Write {count} questions that the passage answers, each with its answer in a few words of the passage.
Each question names what it is about, so that it is understood without the passage.
Write two lines for each and nothing else:
Q: the question
A: the answer

Passage:
{text}"""
OPEN = f"""Answer the question from the passage, in a few words of its language. If the passage does not answer it, say: {UNANSWERABLE}.

Passage:
{{text}}

Question: {{question}}"""
CLOSED = f"""Answer the question in a few words of its language. If you do not know, say: {UNANSWERABLE}.

Question: {{question}}"""
JUDGE = """Does the passage say that this is the answer to the question? Say yes or no, and nothing else.

Passage:
{text}

Question: {question}
Answer: {answer}"""
SET_ASIDE = "set_aside.jsonl"
JUDGED_TOKENS = 64  # some models think a little before they say yes or no
PART = 16  # passages that are asked about before the budget is looked at again
PLACE = ("id", "document", "title", "start", "end", "text")
_LINE = re.compile(r"^[\s*#>-]*(?:\d+[.)]\s*)?[*]*([QA])\d*[*]*\s*[:.][*]*\s*(.*\S)\s*$")
WRITING, WITH, WITHOUT, JUDGING = range(4)
_TEXT_COLUMNS = ("id", "title", "source", "text", "metadata", "document", "synthetic")
_TEXTS = pa.schema([pa.field(name, pa.bool_() if name == "synthetic" else pa.string()) for name in _TEXT_COLUMNS])


def teach(passages: Sequence[Path], output: Path, config: Teaching, *, journal: Path) -> dict[str, float]:
    """Write taught.jsonl and set_aside.jsonl about the rows of `passages` into `output`.

    journal: where replies are kept until the stage is done. Return counts: passages, calls, tokens, cost if there are prices, questions,
    set_aside, and set_aside.REASON for each reason there was. Raise EndpointError for an address that does not answer, or does not count
    the tokens of which there is a budget.
    """
    drawn = _draw(passages, config)
    if isinstance(config.teacher, Patterns):
        read = [_quoted(passage, config.teacher, config.questions) for passage in drawn]
        unmatched = [_aside(passage, "unmatched", "") for passage, items in zip(drawn, read, strict=True) if not items]
        return _write([item for items in read for item in items], unmatched, output, {"passages": len(drawn), "calls": 0, "tokens": 0})
    teacher = Endpoint(config.teacher, config.max_new_tokens, journal)
    judge = Endpoint(config.judge, JUDGED_TOKENS, journal.with_name(f"judge_{journal.name}")) if config.judge else None
    taught: list[dict[str, Any]] = []
    aside: list[dict[str, Any]] = []
    checks = 2 if judge is None else 3
    calls, each, start = 0, 1 + checks * config.questions, 0
    while start < len(drawn):
        room = PART if config.max_calls is None else min(PART, (config.max_calls - calls) // each)
        if room == 0 or _is_spent(config, teacher, judge):
            aside += [_aside(passage, "budget", "") for passage in drawn[start:]]
            break
        made, failed = _questions(drawn[start : start + room], start, teacher, config)
        _ask_again(made, teacher, config)
        if judge is not None:
            _ask_judge(made, judge, config)
        taught, aside = taught + made, aside + failed
        calls += len(drawn[start : start + room]) + checks * len(made)
        start += room
    counts: dict[str, float] = {"passages": len(drawn), "calls": calls, "tokens": sum(map(_tokens, (teacher, judge)))}
    counts |= {"cost": round(_cost(config.teacher, config.judge, teacher, judge), 6)} if config.max_cost is not None else {}
    return _write(taught, aside, output, counts)


def _write(
    taught: Sequence[dict[str, Any]], aside: Sequence[dict[str, Any]], output: Path, counts: Mapping[str, float]
) -> dict[str, float]:
    """Write what was taught and set aside, and return the counts with those of both."""
    output.mkdir(parents=True, exist_ok=True)
    texts = [
        {"id": f"{number:09}", "document": item["id"], "title": item["title"], "source": "teacher", "metadata": "{}", "synthetic": True}
        | {"text": f"{item['question']}\n\n{item['answer']}"}
        for number, item in enumerate(taught)
    ]
    pq.write_table(pa.Table.from_pylist(texts, schema=_TEXTS), output / TAUGHT_TEXTS)
    for name, rows in ((TAUGHT, taught), (SET_ASIDE, aside)):
        (output / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    reasons = Counter(row["reason"] for row in aside)
    found = {**counts, "questions": len(taught), "set_aside": len(aside)}
    found |= {f"set_aside.{reason}": count for reason, count in sorted(reasons.items())}
    return {name: float(count) for name, count in found.items()}


def _quoted(passage: Mapping[str, Any], teacher: Patterns, most: int) -> list[dict[str, Any]]:
    """Return the questions that patterns find in a passage, in the order of their places, each with what the passage says there."""
    found: list[tuple[int, dict[str, Any]]] = []
    for pattern in teacher.patterns:
        for match in re.finditer(pattern.find, passage["text"], re.MULTILINE):
            groups = {name: " ".join((text or "").split()) for name, text in match.groupdict().items()}
            question, answer = pattern.question.format_map(groups), pattern.answer.format_map(groups)
            said = {"sentence": pattern.sentence.format_map(groups)} if pattern.sentence else {}
            found.append((match.start(), {"question": question, "answer": answer, "quoted": match[0], **said}))
    place = {name: passage[name] for name in PLACE}
    about = {**place, "books": [passage["id"]], "prompt": "", "teacher": "patterns", "synthetic": True}
    return [{**item, **about} for _, item in sorted(found, key=lambda one: one[0])[:most]]


def _is_spent(config: Teaching, teacher: Endpoint, judge: Endpoint | None) -> bool:
    """Return whether a budget of tokens or money is used up. Raise EndpointError if an address does not count them."""
    if config.max_tokens is None and config.max_cost is None:
        return False
    for key, asked in (("teacher", teacher), ("judge", judge)):
        if asked is not None and asked.spent.uncounted:
            limit = "max_cost" if config.max_tokens is None else "max_tokens"
            raise EndpointError(
                f"{limit} needs tokens counted, and the address of examples.{key} does not say how many it used; set max_calls in its place"
            )
    tokens = config.max_tokens is not None and sum(map(_tokens, (teacher, judge))) >= config.max_tokens
    return tokens or (config.max_cost is not None and _cost(config.teacher, config.judge, teacher, judge) >= config.max_cost)


def _tokens(asked: Endpoint | None) -> int:
    return 0 if asked is None else asked.spent.read + asked.spent.written


def _cost(teaches: Teacher | Patterns, judges: Teacher | None, teacher: Endpoint, judge: Endpoint | None) -> float:
    """Return what was spent, those replies included that were kept from before a kill."""
    used = [(one, asked.spent) for one, asked in ((teaches, teacher), (judges, judge)) if isinstance(one, Teacher) and asked]
    return sum((spent.read * one.price_read + spent.written * one.price_written) / 1e6 for one, spent in used)


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


def _ask_judge(made: Sequence[dict[str, Any]], judge: Endpoint, config: Teaching) -> None:
    """Add to each question what the judge says of its answer, and who it is."""
    prompts = [JUDGE.format(text=item["text"], question=item["question"], answer=item["answer"]) for item in made]
    seeds = [draw_seed(config.seed, number, JUDGING) for number in range(len(made))]
    for item, reply in zip(made, _replies(judge, prompts, seeds), strict=True):
        item |= {"judged": reply.text, "judge": judge.name}


def _replies(teacher: Endpoint, prompts: Sequence[str], seeds: Sequence[int]) -> list[Reply]:
    return teacher.replies([[{"role": "user", "content": prompt}] for prompt in prompts], seeds)


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Return the questions and answers of a reply: lines that begin with Q: and A:, an answer right after its question."""
    lines = [(match[1], match[2].strip("* ")) for line in text.splitlines() if (match := _LINE.match(line))]
    return [(question, answer) for (one, question), (other, answer) in pairwise(lines) if (one, other) == ("Q", "A")]


def _aside(passage: Mapping[str, Any], reason: str, said: str) -> dict[str, Any]:
    place = {name: passage[name] for name in PLACE if name != "text"}
    return {**place, "books": [passage["id"]], "reason": reason, "said": said}
