"""Turn judgements into the examples that tuning learns from, and account for each line.

The rule. A judge has one voice on a question, and a later judgement replaces an earlier one. The questions are: which of two answers to a
prompt is better; whether an answer is good; what should stand for wrong words of an answer. The value with most voices decides; if two have
as many, or most are for neither answer, there is no example. Each ideal answer counts by itself.

| decided | example |
|---|---|
| a better answer | a preference pair |
| good or bad | a labelled answer |
| an ideal answer | a conversation, and a pair with the answer that was shown, if one was |
| what is right | a conversation with the corrected answer, and a pair with the wrong one |

What is withdrawn, and what `without` names, has no voice.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.conversations.records import Kind, kind_of, transcript, write_rows
from data.documents.sharding import document_id, text_digest
from data.judgements.agreement import Game, Interval, alpha_interval, rate, without_judge
from data.judgements.config import JudgementConfig
from data.judgements.journal import (
    AnyJudged,
    Correction,
    Entry,
    Ideal,
    Journal,
    Label,
    Preference,
    Withdrawal,
    names_of,
    read_journal,
)
from data.sources.config import JUDGED
from data.sources.errors import SourceError

LEDGER, RATINGS, METRICS = "ledger.jsonl", "ratings.json", "metrics.json"
NEITHER = ""  # the value of a voice for neither answer
FATES = ("used", "outvoted", "tied", "neither", "replaced", "withdrawn", "withdrawal", "without")
EXAMPLES: tuple[Kind, ...] = ("preferences", "labels", "instructions")
AGREEING = ("preference", "label")  # questions with few values, on which agreement is measured

Example = dict[str, Any]


class Question(NamedTuple):
    """A question that judges decide, known by these values."""

    kind: str
    asked: str
    about: tuple[str, ...]


class Outcome(NamedTuple):
    """The outcome of a journal.

    `examples`: by id, as records of conversations; `fates`: of each entry, in the journal's order, what became of it and the examples that
    it decided; `voices`: of each question what every judge said; `games`: what models were compared by.
    """

    examples: dict[str, Example]
    fates: tuple[tuple[Entry, str, str], ...]
    voices: dict[Question, dict[str, str]]
    games: tuple[Game, ...]

    def units(self, kind: str) -> list[dict[str, str]]:
        """Return of each question of a kind what every judge said."""
        return [voices for question, voices in self.voices.items() if question.kind == kind]


def decide(journal: Journal, name: str = "", without: Collection[str] = ()) -> Outcome:
    """Apply the rule. `name`: of the source, part of the examples' ids; `without`: what is never read, as in JudgementConfig."""
    fates: dict[str, tuple[str, str]] = _without_voice(journal, without)
    asked: dict[Question, dict[str, Entry]] = {}
    ideals: list[Entry] = []
    for entry in journal.entries:
        line = entry.line
        if line.id in fates:
            continue
        if isinstance(line, Ideal):
            ideals.append(entry)
        elif not isinstance(line, Withdrawal):
            voices = asked.setdefault(question_of(line), {})
            if line.judge in voices:
                fates[voices[line.judge].line.id] = ("replaced", "")
            voices[line.judge] = entry
    examples: dict[str, Example] = {}
    for voices in asked.values():
        for entry, fate, found in _decided(voices.values()):
            fates[entry.line.id] = _admitted(examples, fate, found, name, without)
    for entry in ideals:
        assert isinstance(entry.line, Ideal)
        fates[entry.line.id] = _admitted(examples, "used", ideal_examples(entry.line), name, without)
    games = [game for number, voices in enumerate(asked.values()) for game in _games(number, voices.values())]
    return Outcome(
        dict(sorted(examples.items())),
        tuple((entry, *fates[entry.line.id]) for entry in journal.entries),
        {question: {judge: said_in(entry) for judge, entry in voices.items()} for question, voices in asked.items()},
        tuple(games),
    )


def _without_voice(journal: Journal, without: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the fates of withdrawals, of what they take back among the lines before them, and of what is never read."""
    fates: dict[str, tuple[str, str]] = {}
    for entry in journal.entries:
        line = entry.line
        if isinstance(line, Withdrawal):
            fates[line.id] = ("withdrawal", "")
            taken = [one.line.id for one in journal.entries if _is_taken(one, line)]
            fates |= dict.fromkeys(taken, ("withdrawn", ""))
        elif not {text_digest(line.judge), *(text_digest(text) for text in texts_of(line))}.isdisjoint(without):
            fates[line.id] = ("without", "")
    return fates


def _is_taken(entry: Entry, withdrawal: Withdrawal) -> bool:
    line = entry.line
    if isinstance(line, Withdrawal) or line.time > withdrawal.time:
        return False
    named = {"judgement": [line.id], "judge": [line.judge], "answer": [text_digest(text) for text in texts_of(line)]}
    return withdrawal.what in named[withdrawal.of]


def texts_of(line: AnyJudged) -> list[str]:
    """Return the answers that a judgement shows or writes."""
    written = [line.ideal] if isinstance(line, Ideal) else [line.corrected] if isinstance(line, Correction) else []
    return [*(answer.text for answer in line.answers), *written]


def question_of(line: AnyJudged) -> Question:
    """Return what a judgement gives a voice on. The order in which answers were shown does not count."""
    about = sorted(answer.text for answer in line.answers) + ([line.wrong] if isinstance(line, Correction) else [])
    return Question(line.kind, json.dumps(_messages(line)), tuple(about))


def value_of(entry: Entry) -> str:
    """Return what a voice says: the better answer, good or bad, the right words."""
    line = entry.line
    if isinstance(line, Preference):
        return NEITHER if line.preferred == "tie" else line.answers["AB".index(line.preferred)].text
    return ("good" if line.good else "bad") if isinstance(line, Label) else line.right if isinstance(line, Correction) else ""


def said_in(entry: Entry) -> str:
    """Return a voice as a value that means the same on every question, as agreement beyond chance needs.

    Of two answers it is the first or the second in an order that has nothing to do with how good they are.
    """
    line = entry.line
    if not isinstance(line, Preference) or line.preferred == "tie":
        return value_of(entry)
    first, _ = sorted((answer.text for answer in line.answers), key=text_digest)
    return "first" if value_of(entry) == first else "second"


def _decided(voices: Collection[Entry]) -> Iterator[tuple[Entry, str, Sequence[Example]]]:
    """Yield each voice on a question with its fate and the examples that it decides."""
    counts = Counter(map(value_of, voices))
    most = max(counts.values())
    winners = [value for value, count in counts.items() if count == most]
    for entry in voices:
        if len(winners) > 1:
            yield entry, "tied", ()
        elif winners == [NEITHER] and isinstance(entry.line, Preference):
            yield entry, "neither" if value_of(entry) == NEITHER else "outvoted", ()
        elif value_of(entry) != winners[0]:
            yield entry, "outvoted", ()
        else:
            yield entry, "used", examples_of(entry.line) if not isinstance(entry.line, Withdrawal) else ()


def examples_of(line: AnyJudged) -> list[Example]:
    """Return the examples of a judgement that decided."""
    if isinstance(line, Preference):
        chosen, rejected = line.answers if line.preferred == "A" else reversed(line.answers)
        return [_pair(line, chosen.text, rejected.text)]
    if isinstance(line, Label):
        return [{"messages": _messages(line), "completion": line.answers[0].text, "label": line.good}]
    if isinstance(line, Correction):
        return [_conversation(line, line.corrected), _pair(line, line.corrected, line.answers[0].text)]
    return ideal_examples(line) if isinstance(line, Ideal) else []


def ideal_examples(line: Ideal) -> list[Example]:
    """Return the examples of an ideal answer."""
    better = [_pair(line, line.ideal, answer.text) for answer in line.answers if answer.text != line.ideal]
    return [_conversation(line, line.ideal), *better]


def _messages(line: AnyJudged) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in line.prompt]


def _pair(line: AnyJudged, chosen: str, rejected: str) -> Example:
    return {"messages": _messages(line), "chosen": chosen, "rejected": rejected}


def _conversation(line: AnyJudged, answer: str) -> Example:
    """Return a conversation of which the last answer alone is learned."""
    before = [{**message, **({"weight": 0} if message["role"] == "assistant" else {})} for message in _messages(line)]
    return {"messages": [*before, {"role": "assistant", "content": answer}]}


def _admitted(examples: dict[str, Example], fate: str, found: Iterable[Example], name: str, without: Collection[str]) -> tuple[str, str]:
    """Add what a voice decides, unless it is never to be read. Return its fate and the ids of its examples."""
    added = []
    for example in found:
        identity = hashlib.sha256(json.dumps(example, sort_keys=True).encode()).hexdigest()[:16]
        if document_id(name, f"{JUDGED}#{identity}") not in without and text_digest(transcript(example)) not in without:
            examples[identity] = {"id": identity, **example}
            added.append(identity)
    return ("without" if fate == "used" and not added else fate), " ".join(added)


def _games(question: int, voices: Iterable[Entry]) -> Iterator[Game]:
    for entry in voices:
        line = entry.line
        if isinstance(line, Preference):
            first, second = line.answers
            yield Game(question, first.by, second.by, {"A": 1.0, "B": 0.0, "tie": 0.5}[line.preferred])


def agreement(outcome: Outcome) -> dict[str, Interval]:
    """Return how far judges agree on each kind of question, where several had a voice on one and not all said the same."""
    found = {kind: alpha_interval([list(voices.values()) for voices in outcome.units(kind)]) for kind in AGREEING}
    return {kind: interval for kind, interval in found.items() if interval is not None}


def judges_of(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the judges of pairs by name: how many they have a voice on, and what alpha would be without them; None where there is none."""
    units = outcome.units("preference")
    spoken = Counter(judge for voices in units for judge in voices)
    without = without_judge(units)
    return [{"judge": judge, "pairs": spoken[judge], "alpha_without": without[judge]} for judge in sorted(spoken)]


def rated(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the models by rating: name, what tells it from others, points with their interval, voices, and how many it won."""
    names = names_of(entry.line for entry, fate, _ in outcome.fates if fate not in ("withdrawn", "without"))
    return [
        {
            "model": names[found.model],
            "by": found.model,
            **{name: round(value, 2) for name, value in zip(("points", "low", "high"), found.points, strict=True)},
            "voices": found.voices,
            "won": found.won,
        }
        for found in rate(outcome.games)
    ]


def counts(journal: Journal, outcome: Outcome) -> dict[str, float]:
    """Return how many lines there are, what became of them, and how many examples they gave, by kind."""
    fates = Counter(fate for _, fate, _ in outcome.fates)
    kinds = Counter(kind_of(example) for example in outcome.examples.values())
    judges = {entry.line.judge for entry, fate, _ in outcome.fates if fate not in ("withdrawal", "withdrawn", "without")}
    found = {"lines": len(journal.entries) + len(journal.set_aside), "set_aside": len(journal.set_aside), "judges": len(judges)}
    found |= {"questions": len(outcome.voices), "several_judges": sum(len(voices) > 1 for voices in outcome.voices.values())}
    found |= {fate: fates[fate] for fate in FATES} | {kind: kinds[kind] for kind in EXAMPLES}
    return {name: float(value) for name, value in found.items()}


def write_judged(folder: Path, output: Path, config: JudgementConfig, observed: Mapping[str, str]) -> dict[str, float]:
    """Write judged.jsonl (examples as records of conversations), ledger.jsonl, ratings.json and metrics.json; return the metrics.

    `observed`: the digests of the files that the key was made from. Every line of the journal has a row of the ledger, without its words.
    Raise SourceError if a file has changed since.
    """
    unread = dict(observed)

    def check(name: str, content: bytes) -> None:
        if unread.pop(f"{config.name}/{name}", "") != hashlib.sha256(content).hexdigest():
            raise SourceError(f"{folder / name} changed after this run began, so its key describes other judgements. Start the run again")

    journal = read_journal(folder, check)
    if unread:
        raise SourceError(f"{min(unread)} is gone since this run began. Start the run again")
    outcome = decide(journal, config.name, config.without)
    write_rows(output / JUDGED, outcome.examples.values())
    rows = [
        {"file": entry.place.file, "line": entry.place.line, "id": entry.line.id, "fate": fate, "examples": examples.split()}
        for entry, fate, examples in outcome.fates
    ]
    rows += [{"file": place.file, "line": place.line, "fate": "set_aside", "reason": reason} for place, reason in journal.set_aside]
    write_rows(output / LEDGER, sorted(rows, key=lambda row: (str(row["file"]), row["line"])))
    (output / RATINGS).write_text(json.dumps(rated(outcome), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    metrics = counts(journal, outcome)
    for kind, interval in agreement(outcome).items():
        metrics |= {f"{kind}_alpha{ending}": value for ending, value in zip(("", "_low", "_high"), interval, strict=True)}
    (output / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return metrics
