"""`folio judgements`: what people judged, how far they agree, how models rate by it; and withdrawals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.documents.sharding import document_id, text_digest
from data.judgements.config import journal_files
from data.judgements.examples import AGREEING, FATES, Outcome, agreement, counts, decide, judges_of, rated
from data.judgements.journal import Entry, Journal, Place, Withdrawal, append, file_of, now, parse_line, read_journal
from data.sources.config import JUDGED, JudgementSource
from tasks.reporting.wording import count, joined, plural, words
from tasks.stage.system.columns import columns
from tasks.stage.system.command_line import folio

ASKED = {"preference": "the better answer", "label": "good or bad"}
MADE = {"preferences": "preference pair", "labels": "labelled answer", "instructions": "conversation"}


def show_judgements(folder: Path, *, as_json: bool = False) -> str:
    """Return counts, agreement and ratings as text or JSON. Raise FileNotFoundError if the folder has no journal."""
    journal = _read(folder)
    outcome = decide(journal)
    if as_json:
        return json.dumps(_plain(journal, outcome), indent=1, ensure_ascii=False)
    found = counts(journal, outcome)
    lines = [f"{folder}: {plural(found['lines'], 'line')} by {plural(found['judges'], 'judge')}"]
    fates = [(words(fate), count(found[fate])) for fate in (*FATES, "set_aside") if found[fate]]
    lines += columns([("what became of them", "lines"), *fates], frozenset({1}))
    lines += [f"  {place.file}, line {place.line}: {reason}" for place, reason in journal.set_aside]
    lines += ["", f"Examples: {joined([plural(found[kind], name) for kind, name in MADE.items()])}."]
    return "\n".join([*lines, *_agreement(outcome), *_ratings(outcome)])


def _read(folder: Path) -> Journal:
    if not journal_files(folder):
        raise FileNotFoundError(f"{folder} has no judgements; judge answers on the page that {folio('up')} serves, or name another folder")
    return read_journal(folder)


def _agreement(outcome: Outcome) -> Iterator[str]:
    """Yield the table of alpha by question, and that of judges."""
    rows = [("agreement on", "alpha", "95 % interval", "questions", "by several")]
    found = agreement(outcome)
    for kind in AGREEING:
        if units := outcome.units(kind):
            alpha = found.get(kind)
            told = (f"{alpha.value:.2f}", f"{alpha.low:.2f} to {alpha.high:.2f}") if alpha else ("-", "-")
            rows.append((ASKED[kind], *told, count(len(units)), count(sum(len(voices) > 1 for voices in units))))
    if len(rows) > 1:
        yield from ("", *columns(rows, frozenset({1, 3, 4})))
        yield "Krippendorff's alpha: 1 is perfect, 0 what chance gives."
    judges = judges_of(outcome)
    if len(judges) > 1:
        others = [
            (one["judge"], count(one["pairs"]), "-" if one["alpha_without"] is None else f"{one['alpha_without']:.2f}") for one in judges
        ]
        yield from ("", *columns([("judge", "pairs", "alpha without"), *others], frozenset({1, 2})))


def _ratings(outcome: Outcome) -> Iterator[str]:
    """Yield the table of models."""
    rows = [
        (row["model"], f"{row['points']:+.0f}", f"{row['low']:+.0f} to {row['high']:+.0f}", count(row["voices"]), f"{row['won']:g}")
        for row in rated(outcome)
    ]
    if rows:
        yield from ("", *columns([("model", "rating", "95 % interval", "voices", "won"), *rows], frozenset({1, 3, 4})))
        yield "Bradley-Terry on Elo's scale: 400 points are odds of 10 to 1."


def _plain(journal: Journal, outcome: Outcome) -> dict[str, Any]:
    """Return everything that is shown as plain data."""
    return {
        "counts": counts(journal, outcome),
        "agreement": {kind: interval._asdict() for kind, interval in agreement(outcome).items()},
        "alpha_without": {one["judge"]: one["alpha_without"] for one in judges_of(outcome)},
        "ratings": rated(outcome),
        "set_aside": [{**place._asdict(), "reason": reason} for place, reason in journal.set_aside],
    }


def withdraw_judgements(folder: Path, what: str, judge: str, reason: str) -> str:
    """Add a withdrawal to the journal; return what goes and what is left to do.

    Raise ValueError without a judge or reason, and LookupError if nothing is there to be taken back.
    """
    if not judge or not reason:
        raise ValueError("--withdraw needs --judge NAME and --reason TEXT, which the journal keeps")
    before = decide(_read(folder))
    of, _, named = what.partition(":") if what.startswith(("judge:", "answer:")) else ("judgement", "", what)
    if of == "judgement" and not re.fullmatch("[0-9a-f]{16}", named):
        raise ValueError(f"--withdraw {what}: give the id of a judgement, judge:NAME, or answer: with its whole text or the sha256 of that")
    if of == "answer" and not re.fullmatch("[0-9a-f]{64}", named):
        named = text_digest(named)
    line = parse_line({"kind": "withdrawal", "time": now(), "judge": judge, "reason": reason, "of": of, "what": named})
    assert isinstance(line, Withdrawal)
    after = decide(_with(folder, line))
    taken = _withdrawn(after) - _withdrawn(before)
    if not taken:
        raise LookupError(f"--withdraw {what}: no judgement that still counts is meant; look into {folder}")
    append(folder, line)
    gone = sorted(before.examples.keys() - after.examples.keys())
    source = JudgementSource.model_fields["name"].default
    ids = [document_id(source, f"{JUDGED}#{identity}") for identity in gone]
    lines = [f"{plural(len(taken), 'judgement')} no longer count{'s' if len(taken) == 1 else ''}; {plural(len(gone), 'example')} will go."]
    if of != "judgement":
        digest = named if of == "answer" else text_digest(named)
        lines.append(f"In a recipe, ingest.without: [{digest}] keeps it out whatever the journal says.")
    if ids:
        lines += [
            "The next run of each recipe that reads them learns without. What holds them or learned from them is still in the store:",
            f"  {folio('takedown')} {ids[0]}{f'  # and {len(ids) - 1} more' if len(ids) > 1 else ''}",
            f"  {folio('gc', '--delete')}{''.join(f' --without {identity}' for identity in ids)}",
            f"These ids are those of a source called {source!r}. The lines themselves stay in {folder}: only you delete them.",
        ]
    return "\n".join(lines)


def _with(folder: Path, line: Withdrawal) -> Journal:
    """Return the journal as it would be with one more line."""
    journal = read_journal(folder)
    return journal._replace(entries=(*journal.entries, Entry(line, Place(file_of(line.judge), 0))))


def _withdrawn(outcome: Outcome) -> set[str]:
    return {entry.line.id for entry, fate, _ in outcome.fates if fate == "withdrawn"}
