"""Instructions, preferences and questions from any corpus, made of the books' own sentences.

Every passage is in one of three groups: training, validation, held out. A held-out passage is in no instruction and no preference, and no
sentence is in two passages. The result depends on the seed, not on the order of the books. Only train is read; the chosen passages are held
in memory. With very little text some files are empty, but none is missing. Every line lists in `books` the documents whose words it
contains, so that each can be traced and taken down.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from data.conversations.records import write_rows
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.examples.config import CorpusExamples
from data.examples.passages import Exchange, Passage, continuation, passages, short_title, which_book, who_is_next, who_says

CANDIDATES = 8  # most bad answers that a preference pair names besides the rejected one
FILES = (
    "instructions_train", "instructions_val", "preferences_train", "preferences_val", "questions_seen", "questions_heldout",
)  # fmt: skip


def corpus_examples(splits: Sequence[Path], output: Path, config: CorpusExamples) -> dict[str, float]:
    """Write the six JSON Lines files into `output` and return the number of lines of each.

    Raise ValueError if train has no sentence of at least two words.
    """
    chosen = _choose_passages(split_files(splits, "train"), config)
    if not chosen:
        raise ValueError("train.parquet has no sentence of two words to make examples from; add texts or check the split")
    groups = _split_facts(chosen, config)
    train = [passage for passage in chosen if passage.fact in groups["train"]]
    of_book: defaultdict[str, list[Passage]] = defaultdict(list)
    for passage in train:
        of_book[passage.book].append(passage)
    asked_in_training = {passage.first for passage in chosen if passage.fact not in groups["heldout"]}
    answers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for passage in chosen:
        answers[passage.first].setdefault(passage.second, passage.book)
    speakers, distinct_titles = _speakers(chosen), _distinct_titles({short_title(passage.title) for passage in chosen})
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in FILES}
    for passage in chosen:
        group = next(name for name, facts in groups.items() if passage.fact in facts)
        random = Random(f"{config.seed}:{passage.fact}")
        alternatives = speakers[passage.book], distinct_titles[short_title(passage.title)]
        for exchange in _exchanges(passage, train, of_book[passage.book], *alternatives, set(answers[passage.first]), random):
            if exchange.topic == "continue" and group == "heldout" and passage.first in asked_in_training:
                continue  # another passage begins alike, and training asks how it continues
            _add_rows(lines, group, exchange, dict(sorted(answers[passage.first].items())))
    output.mkdir(parents=True, exist_ok=True)
    counts = {"passages": float(len(chosen))}
    for name in FILES:
        rows = sorted(lines[name], key=lambda row: _seeded_hash(config.seed, _row_text(row)))
        rows = rows[: config.questions] if name.startswith("questions") else rows
        counts[name] = write_rows(output / f"{name}.jsonl", rows)
    return counts


def _row_text(row: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "books"}, ensure_ascii=False)


def _seeded_hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _choose_passages(train: Sequence[Path], config: CorpusExamples) -> list[Passage]:
    """Return passages in an order that the seed decides, no sentence in two of them; sentences cut in two may begin alike."""
    candidates: list[Passage] = []
    for batch in merged(train, ("id", "title", "text")):
        for row in batch.to_pylist():
            candidates_of_book = passages(row["id"], row["title"], row["text"], config.max_words // 2)
            candidates_of_book.sort(key=lambda passage: _seeded_hash(config.seed, passage.fact))
            candidates += candidates_of_book[: config.passages_per_book]
    candidates.sort(key=lambda passage: _seeded_hash(config.seed, passage.fact))
    chosen: list[Passage] = []
    taken: set[str] = set()
    for passage in candidates:
        parts = {f"{passage.first} {passage.second}"} if passage.halves else {passage.first, passage.second}
        if not parts & taken:
            chosen.append(passage)
            taken |= parts
        if len(chosen) == config.max_passages:
            break
    return chosen


def _split_facts(chosen: list[Passage], config: CorpusExamples) -> dict[str, set[str]]:
    """Return {group: facts}. Held out and validation get at least one passage each if there are three or more."""
    heldout = _share(len(chosen), config.heldout_fraction)
    val = _share(len(chosen) - heldout, config.validation_fraction)
    facts = [passage.fact for passage in chosen]
    return {"heldout": set(facts[:heldout]), "val": set(facts[heldout : heldout + val]), "train": set(facts[heldout + val :])}


def _share(count: int, fraction: float) -> int:
    return 0 if count < 3 or not fraction else max(1, round(count * fraction))


def _exchanges(
    passage: Passage,
    pool: list[Passage],
    pool_of_book: list[Passage],
    speakers: list[str],
    other_titles: list[str],
    accepted: set[str],
    random: Random,
) -> list[Exchange]:
    """Return everything that is asked about one passage; wrong continuations come from `pool` only, candidates from the same book's."""
    wording = 0 if passage.halves else random.randrange(3)
    found = [continuation(passage, wording, *_bad_continuation(passage, pool, accepted, random))]
    if other_titles:
        found.append(which_book(passage, random.choice(other_titles), swap=random.random() < 0.5))
    third = [name for name in speakers if name not in (passage.first_speaker, passage.second_speaker)]
    if passage.first_speaker:
        found.append(who_says(passage, swap=random.random() < 0.5))
        if third:
            found.append(who_is_next(passage, random.choice(third), swap=random.random() < 0.5))
    sentences = [other.second for other in pool_of_book if other.second not in accepted]
    kinds = {"continue": sentences, "which_book": other_titles, "who_says": third, "who_is_next": [passage.first_speaker, *third]}
    # A separate random stream, so candidates don't change any other draw.
    drawn = Random(f"{passage.fact}:candidates")
    return [replace(exchange, candidates=_candidates(exchange, kinds[exchange.topic], drawn)) for exchange in found]


def _candidates(exchange: Exchange, bad: Sequence[str], random: Random) -> tuple[str, ...]:
    others = [text for text in dict.fromkeys(bad) if text and text not in (exchange.answer, exchange.wrong)]
    return tuple(random.sample(others, min(CANDIDATES, len(others))))


def _speakers(chosen: list[Passage]) -> dict[str, list[str]]:
    """Return the speakers of each book."""
    speakers: defaultdict[str, set[str]] = defaultdict(set)
    for passage in chosen:
        speakers[passage.book].add(passage.second_speaker)
    return {book: sorted(names) for book, names in speakers.items()}


def _distinct_titles(titles: set[str]) -> dict[str, list[str]]:
    """Return for each title those that can't be mistaken for it; none for a meaningless title such as a catalogue number.

    Titles that share a word (by its first four letters: Midsommer, Midsummer) may name editions of one work."""
    words = {title: _title_words(title) for title in sorted(titles)}
    return {title: [other for other, theirs in words.items() if own and theirs and not own & theirs] for title, own in words.items()}


def _title_words(title: str) -> set[str]:
    words = re.findall(r"[^\W_]+", title.lower())
    alphabetic = [word for word in words if word.isalpha()]
    return {word[:4] for word in alphabetic if len(word) >= 4} or set(alphabetic)


def _bad_continuation(passage: Passage, pool: list[Passage], accepted: set[str], random: Random) -> tuple[str, str]:
    """Return a sentence of another book, the right words shuffled, or the first of them repeated; and which book, if another."""
    words = passage.second.split()
    kind = random.randrange(3)
    if kind == 0:
        for other in random.sample(pool, min(8, len(pool))):
            if other.title != passage.title and other.second not in accepted:
                return other.second, other.book
    if kind <= 1 and len(set(words)) > 2:
        shuffled = random.sample(words, len(words))
        if shuffled != words:
            return " ".join(shuffled), ""
    few = words[: max(1, len(words) // 3)]
    return " ".join(few * 3), ""


def _add_rows(lines: dict[str, list[dict[str, Any]]], group: str, exchange: Exchange, continuations: dict[str, str]) -> None:
    answers, books = [exchange.answer], [exchange.book]
    if exchange.topic == "continue":
        others = {text: book for text, book in continuations.items() if text != exchange.answer}
        answers, books = [*answers, *others], [*books, *others.values()]
    offered = {"choices": sorted(exchange.choices)} if exchange.choices else {}
    question = {"question": exchange.question, "answers": answers, **offered, "fact": exchange.fact, "books": sorted(set(books))}
    if group == "heldout":
        if exchange.checkable:
            lines["questions_heldout"].append(question)
        return
    messages = exchange.messages()
    answer = {"role": "assistant", "content": exchange.answer}
    lines[f"instructions_{group}"].append({"messages": [*messages, answer], "topic": exchange.topic, "books": [exchange.book]})
    if exchange.wrong and exchange.wrong != exchange.answer:
        pair = {"messages": messages, "chosen": exchange.answer, "rejected": exchange.wrong}
        pair |= {"candidates": list(exchange.candidates), "answers": answers if exchange.checkable else []}
        lines[f"preferences_{group}"].append({**pair, "books": sorted({exchange.book, exchange.wrong_book or exchange.book})})
    if group == "train" and exchange.checkable:
        lines["questions_seen"].append(question)
