"""Instructions and questions from what a teacher wrote about passages, each of it judged by its words first.

What is dropped stands in dropped.jsonl with its reason, and is counted: taught = kept + dropped. A question belongs to training, validation
or the held-out questions as its passage does, so that no passage is learned from and asked about as unseen. Equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.conversations.records import Row, read_rows, write_rows
from data.examples.config import DocumentExamples
from data.searching.index import rarity
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, evidence, supported, terms

FILES = ("instructions_train", "instructions_val", "preferences_train", "preferences_val", "questions_seen", "questions_heldout")
COPIED = 6  # words in a row that a question or an answer has of the request: none by chance
SAID = ("question", "answer", "with_passage", "without_passage")
DECLINED = frozenset({"unanswerable"})


def document_examples(passages: Sequence[Path], taught: Path, output: Path, config: DocumentExamples) -> dict[str, float]:
    """Write the files of examples and dropped.jsonl into `output`; return their numbers of lines, and how many each filter dropped.

    `passages`: the folders of their index; `taught`: the file of what the teacher wrote. Raise ValueError if nothing is left to train on.
    """
    items = read_rows(taught)
    weigh = _weights(passages, items)
    kept: list[Row] = []
    dropped: list[dict[str, Any]] = []
    asked: set[frozenset[str]] = set()
    for item in items:
        reason = fault(item, config, weigh, asked)
        if reason:
            dropped.append({**item, "reason": reason})
            continue
        asked.add(_meaning(item["question"]))
        kept.append(item)
    reasons = Counter(str(item["reason"]) for item in dropped)
    if not (groups := _groups(kept, config))["train"]:
        told = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.most_common()) or "the teacher wrote none"
        raise ValueError(f"no question is left for training: {told}; raise examples.passages or its budget, or take another teacher")
    output.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Row]] = {name: [] for name in FILES}
    for group in ("train", "val"):
        rows[f"instructions_{group}"] = [_instruction(item) for item in groups[group]]
    rows["questions_seen"], rows["questions_heldout"] = ([_question(item) for item in groups[group]] for group in ("train", "heldout"))
    counts = {name: write_rows(output / f"{name}.jsonl", rows[name]) for name in FILES}
    write_rows(output / "dropped.jsonl", dropped)
    counts |= {"taught": float(len(kept) + len(dropped)), "kept": float(len(kept)), "dropped": float(len(dropped))}
    return counts | {f"dropped.{reason}": float(count) for reason, count in sorted(reasons.items())}


def fault(item: Row, config: DocumentExamples, weigh: Callable[[str], float], asked: set[frozenset[str]]) -> str:
    """Return why an item is not learned from; "" if it is. `asked`: what the questions before it mean."""
    question, answer, passage = item["question"], item["answer"], item["text"]
    if not config.least_characters <= len(question) <= config.question_characters or not 1 <= len(answer) <= config.answer_characters:
        return "length"
    request = item["prompt"].replace(passage, "")
    if any(_copies(text, request) for text in (question, answer)):
        return "copied_request"
    if _meaning(question) in asked:
        return "duplicate"
    if not supported(answer, question, evidence(question, passage, weigh), weigh, strict=True):
        return "unsupported"
    if not agree(answer, item["with_passage"], question, weigh):
        return "not_answerable"
    if agree(answer, item["without_passage"], question, weigh):
        return "known_without"
    return ""


def agree(answer: str, reply: str, question: str, weigh: Callable[[str], float]) -> bool:
    """Return whether a reply says what an answer does, so that each has the words that the other adds to the question."""
    if set(terms(reply)) <= DECLINED:
        return False
    return all(supported(one, question, other, weigh, strict=True) for one, other in ((answer, reply), (reply, answer)))


def _copies(text: str, request: str) -> bool:
    said, told = terms(text), f" {' '.join(terms(request))} "
    return any(f" {' '.join(said[at : at + COPIED])} " in told for at in range(len(said) - COPIED + 1))


def _meaning(question: str) -> frozenset[str]:
    return frozenset(terms(question))


def _weights(passages: Sequence[Path], items: Sequence[Row]) -> Callable[[str], float]:
    """Return how rare a term is among all passages, and all that was asked and answered.

    Words that answers are made with, such as pronouns, may be in no passage, and are no rare words all the same.
    """
    holding: Counter[str] = Counter()
    count = 0
    for folder in passages:
        count += pq.read_metadata(folder / PASSAGES_FILE).num_rows
        with pq.ParquetFile(folder / POSTINGS_FILE) as file:
            for batch in file.iter_batches(columns=["term"]):
                holding.update(map(str, batch["term"].to_pylist()))
    for item in items:
        for name in SAID:
            holding.update(set(terms(item[name])))
    return lambda term: rarity(holding[term], count + len(items) * len(SAID))


def _groups(kept: Sequence[Row], config: DocumentExamples) -> dict[str, list[Row]]:
    """Return the items of training, validation and held-out passages; of three passages or more each has one, if its share is not 0."""
    places = sorted({(item["id"], item["start"]) for item in kept}, key=lambda place: _hash(config.seed, place))
    heldout = _share(len(places), config.heldout_fraction)
    val = _share(len(places) - heldout, config.validation_fraction)
    parts = {"heldout": set(places[:heldout]), "val": set(places[heldout : heldout + val]), "train": set(places[heldout + val :])}
    return {group: [item for item in kept if (item["id"], item["start"]) in part] for group, part in parts.items()}


def _share(count: int, fraction: float) -> int:
    return 0 if count < 3 or not fraction else max(1, round(count * fraction))


def _hash(seed: int, place: tuple[str, int]) -> bytes:
    return hashlib.sha256(f"documents:{seed}:{place[0]}:{place[1]}".encode()).digest()


def _instruction(item: Row) -> Row:
    messages = [{"role": "user", "content": item["question"]}, {"role": "assistant", "content": item["answer"]}]
    told = {name: item[name] for name in ("document", "start", "end", "prompt", "teacher", "synthetic", "books")}
    return {"messages": messages, "topic": "documents", "passage": item["text"], **told}


def _question(item: Row) -> Row:
    answers = list(dict.fromkeys((item["answer"].rstrip(" .。"), item["with_passage"].rstrip(" .。"))))
    place = {name: item[name] for name in ("document", "start", "end", "teacher", "synthetic", "books")}
    return {"question": item["question"], "answers": answers, "fact": f"{item['id']}:{item['start']}", "passage": item["text"], **place}
