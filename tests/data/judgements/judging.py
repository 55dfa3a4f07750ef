"""Judgements for tests: short to write, a second apart."""

from __future__ import annotations

from itertools import count
from typing import Any

from data.judgements.journal import AnyJudged, AnyLine, Entry, Journal, Place, Withdrawal, parse_line

MODELS = {"small": "a" * 64, "large": "b" * 64}
SECONDS = count()


def line(kind: str, judge: str = "ada", **given: Any) -> AnyLine:
    """A line of a journal, later than any before it."""
    second = next(SECONDS)
    time = f"2026-12-03T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z"
    return parse_line({"kind": kind, "judge": judge, "time": time, **given})


def judged(kind: str, question: str = "What colour is the kiln?", texts: tuple[str, ...] = (), **given: Any) -> AnyJudged:
    """A judgement of answers, the first by the small model."""
    answers = [{"text": text, "model": name, "digest": digest} for text, (name, digest) in zip(texts, MODELS.items(), strict=False)]
    found = line(kind, prompt=[{"role": "user", "content": question}], answers=answers, **given)
    assert not isinstance(found, Withdrawal)
    return found


def prefers(preferred: str, question: str = "What colour is the kiln?", judge: str = "ada", *, swapped: bool = False) -> AnyJudged:
    """A preference between `red` and `blue`, which may be shown in the other order."""
    texts = ("It is blue.", "It is red.") if swapped else ("It is red.", "It is blue.")
    shown = preferred if preferred == "tie" else "AB"[["red", "blue"].index(preferred) ^ swapped]
    return judged("preference", question, texts, judge=judge, preferred=shown)


def journal(*lines: AnyLine) -> Journal:
    """A journal of lines in the order of their times."""
    return Journal(tuple(Entry(one, Place("judges.jsonl", number)) for number, one in enumerate(lines, start=1)), ())
