"""Instructions and questions from what a teacher wrote about passages, each of it judged by its words first.

What is dropped stands in dropped.jsonl with its reason, and is counted: taught = kept + dropped. A question belongs to training, validation
or the held-out questions as its passage does, so that no passage is learned from and asked about as unseen; one whose passage says of
it what that of a held-out question does, as where documents repeat each other, is dropped as well. Equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq

from data.conversations.records import Row, read_rows, write_rows
from data.documents.database import Limits
from data.examples.config import DocumentExamples
from data.filtering.config import LanguageConfig
from data.filtering.language import UNDETERMINED, language_of, load_model
from data.searching.index import PassageIndex, open_index, rarity
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, evidence, supported, terms
from data.shards.address import UNANSWERABLE, asked_from, declines

FILES = ("instructions_train", "instructions_val", "preferences_train", "preferences_val", "questions_seen", "questions_heldout")
_YES = re.compile(r"^\W*yes\b|\byes\W*$", re.IGNORECASE)  # some judges think before they say it
COPIED = 6  # words in a row that a question or an answer has of the request: none by chance
SAID = ("question", "answer", "with_passage", "without_passage")
LETTERS = 12  # fewest that tell a language
SURE, UNLIKE = 0.7, 0.05  # least probability of another language, and most of the passage's, of a text that is foreign to it


def document_examples(
    passages: Sequence[Path],
    taught: Path,
    output: Path,
    config: DocumentExamples,
    contaminated: Path | None = None,
    limits: Limits | None = None,
) -> dict[str, float]:
    """Write the files of examples and dropped.jsonl into `output`; return their numbers of lines, and how many each filter dropped.

    `passages`: the folders of their index; `taught`: the file of what the teacher wrote; `contaminated`: a table of which of its lines,
    from 0, hold text that is held out; `limits`: needed where passages are shown. Raise ValueError if nothing is left to train on.
    """
    items = read_rows(taught)
    weigh = _weights(passages, items)
    held_out = set(pq.read_table(contaminated, columns=["id"])["id"].to_pylist()) if contaminated is not None else set[str]()
    is_foreign = foreign() if config.same_language else None
    kept: list[Row] = []
    dropped: list[dict[str, Any]] = []
    asked: set[frozenset[str]] = set()
    for number, item in enumerate(items):
        reason = "contaminated" if f"{number:09}" in held_out else fault(item, config, weigh, asked, is_foreign)
        if reason:
            dropped.append({**item, "reason": reason})
            continue
        asked.add(_meaning(item["question"]))
        kept.append(item)
    groups = _groups(kept, config)
    told = {_told(item, weigh) for item in groups["heldout"]}
    for name in ("train", "val"):
        repeating = [item for item in groups[name] if _told(item, weigh) in told]
        dropped += [{**item, "reason": "held_out"} for item in repeating]
        groups[name] = [item for item in groups[name] if item not in repeating]
    reasons = Counter(str(item["reason"]) for item in dropped)
    if not groups["train"]:
        why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.most_common()) or "the teacher wrote none"
        raise ValueError(f"no question is left for training: {why}; raise examples.passages or its budget, or take another teacher")
    output.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Row]] = {name: [] for name in FILES}
    for group in ("train", "val"):
        rows[f"instructions_{group}"] = [_instruction(item) for item in groups[group]]
    if config.shown:
        assert limits is not None, "passages are found by a database"
        held = {(item["id"], item["start"]) for item in groups["heldout"]}
        with open_index(passages, **limits) as index:
            for group in ("train", "val"):
                rows[f"instructions_{group}"] += [_shown(item, index, held, config) for item in groups[group]]
    rows["questions_seen"], rows["questions_heldout"] = ([_question(item) for item in groups[group]] for group in ("train", "heldout"))
    counts = {name: write_rows(output / f"{name}.jsonl", rows[name]) for name in FILES}
    write_rows(output / "dropped.jsonl", dropped)
    counts |= {"taught": float(len(items)), "kept": float(len(items) - len(dropped)), "dropped": float(len(dropped))}
    return counts | {f"dropped.{reason}": float(count) for reason, count in sorted(reasons.items())}


def fault(
    item: Row,
    config: DocumentExamples,
    weigh: Callable[[str], float],
    asked: set[frozenset[str]],
    is_foreign: Callable[[str, str], bool] | None = None,
) -> str:
    """Return why an item is not learned from; "" if it is. `asked`: what the questions before it mean; `is_foreign`: see `foreign`."""
    question, answer, passage = item["question"], item["answer"], item["text"]
    fits = 1 <= len(answer) <= len(_said(item)) <= config.answer_characters
    if not config.least_characters <= len(question) <= config.question_characters or not fits:
        return "length"
    request = item["prompt"].replace(passage, "")
    if any(_copies(text, request) for text in (question, answer)):
        return "copied_request"
    if is_foreign is not None and any(is_foreign(text, passage) for text in (question, answer)):
        return "language"
    if _meaning(question) in asked:
        return "duplicate"
    if not supported(answer, question, item.get("quoted") or evidence(question, passage, weigh), weigh, strict=True):
        return "unsupported"
    # What patterns quoted is answered by its passage, and nobody was asked without it.
    if "with_passage" in item and not agree(answer, item["with_passage"], question, weigh, config.declines):
        return "not_answerable"
    if "without_passage" in item and agree(answer, item["without_passage"], question, weigh, config.declines):
        return "known_without"
    return "" if "judged" not in item or _YES.search(item["judged"]) else "refused_by_judge"


def foreign() -> Callable[[str, str], bool]:
    """Return whether a text is in another language than a passage; not where either is too short or too mixed to tell."""
    predict, config = load_model(), LanguageConfig()
    languages: dict[str, str] = {}

    def is_foreign(text: str, passage: str) -> bool:
        if passage not in languages:
            languages[passage] = language_of(predict, passage, config)[0]
        own = languages[passage]
        if own == UNDETERMINED or sum(map(str.isalpha, text)) < LETTERS:
            return False
        found = predict(" ".join(text.split()))
        likeliest = max(found, key=lambda language: found[language])
        return likeliest != own and found[likeliest] >= SURE and found.get(own, 0.0) < UNLIKE

    return is_foreign


def _told(item: Row, weigh: Callable[[str], float]) -> tuple[str, ...]:
    """Return the terms of what a passage says of its question."""
    return tuple(terms(item.get("quoted") or evidence(item["question"], item["text"], weigh)))


def agree(answer: str, reply: str, question: str, weigh: Callable[[str], float], phrases: Sequence[str] = ()) -> bool:
    """Return whether a reply says what an answer does, so that each has the words that the other adds to the question.

    One that says nothing, or declines in such phrases, does not.
    """
    if not terms(reply) or declines(reply, phrases):
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
            holding.update(set(terms(item.get(name, ""))))
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
    messages = [{"role": "user", "content": item["question"]}, {"role": "assistant", "content": _said(item)}]
    told = {name: item[name] for name in ("document", "start", "end", "prompt", "teacher", "synthetic", "books")}
    return {"messages": messages, "topic": "documents", "passage": item["text"], **told}


def _said(item: Row) -> str:
    """Return what a model learns to answer: the answer, or the sentence around it where there is one."""
    return str(item.get("sentence", item["answer"]))


def _shown(item: Row, index: PassageIndex, held: set[tuple[str, int]], config: DocumentExamples) -> Row:
    """Return the question with the passages that resemble it most, its own among them or not.

    No passage of a held-out question is shown, and none besides its own that may answer it.
    """
    random = Random(f"{config.seed}:{item['id']}:{item['start']}:{item['question']}")
    own, answered = (item["id"], item["start"]), random.random() >= config.without_answer
    found = [hit for hit in index.search(item["question"], config.shown + 1 + len(held)) if (hit.id, hit.start) not in {own, *held}]
    others = [hit for hit in found if item["answer"] not in hit.text or not _says(hit.text, item)][: config.shown - answered]
    texts, books = [hit.text for hit in others], [item["id"], *(hit.id for hit in others)]
    place = random.randrange(len(texts) + 1)
    if answered:
        texts.insert(place, item["text"])
    told = f"{_said(item).rstrip(' .。')} [{place + 1}]" if answered else UNANSWERABLE
    turns = [{"role": "user", "content": asked_from(item["question"], texts)}, {"role": "assistant", "content": told}]
    return {**_instruction(item), "messages": turns, "books": list(dict.fromkeys(books))}


def _says(text: str, item: Row) -> bool:
    """Return whether a passage may answer another one's question: it has all words of what that was quoted for, if it was."""
    return not item.get("quoted") or set(terms(item["quoted"])) <= set(terms(text))


def _question(item: Row) -> Row:
    answers = list(dict.fromkeys(item[name].rstrip(" .。") for name in ("answer", "with_passage") if name in item))
    place = {name: item[name] for name in ("document", "start", "end", "teacher", "synthetic", "books")}
    return {"question": item["question"], "answers": answers, "fact": f"{item['id']}:{item['start']}", "passage": item["text"], **place}
