"""`folio corpus show`: a document before and after, and what each rule did to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from data.provenance.edits import Change, context_lines, redaction_contexts, split_lines
from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import CUT, DIM, NAME, Line, differing, printable
from tasks.lineage.corpus_run import describe_document
from tasks.lineage.document_history import DocumentHistory, Step, find_history
from tasks.stage.system.columns import columns, signed, wrapped

ROOM, LONGEST, LINES, SHOWN = 60, 240, 40, 20


def show_document(
    text: str, recipe: str = "", *, full: bool = False, rule: str = "", limit: int | None = None, as_json: bool = False, store: str = ""
) -> list[Line]:
    """Return a document's history as styled lines, or as JSON. Raises LookupError for an unknown document, recipe or rule."""
    if as_json and (full or limit):
        raise ValueError(f"--json holds every change and both texts; leave {'--full' if full else '--limit'} out.")
    if full and limit:
        raise ValueError("--full shows every change; leave --limit out.")
    history = find_history(open_snapshot(store), text, recipe)
    changes = changes_of(history, rule)
    if as_json:
        return [((json.dumps(history_json(history, changes), indent=1, ensure_ascii=False), ""),)]
    lines: list[Line] = [*_origin(history), *_outcomes(history)]
    if full:
        lines += [*_whole("as it was read", history.original_text, changes), *changes_shown(history, changes, len(changes))]
        lines += _whole("as it is now", history.final_text, [])
    elif history.original_text or changes:
        lines += [*changes_shown(history, changes, limit or SHOWN), *_removed_text(history)]
    return lines


StepChanges = list[tuple[Step, Change]]


def changes_of(history: DocumentHistory, rule: str) -> StepChanges:
    """Return the changes of a document, or of one rule. Raise LookupError, naming the rules that touched it, for another rule."""
    wanted = rule.strip().replace("_", " ").casefold()
    found = [(step, change) for step in history.steps for change in step.changes]
    if not wanted:
        return found
    rules = [name for _, change in found for name in change.rules]
    rules += [row["rule"] for step in history.steps for row in step.ledger if row["rule"]]
    if wanted not in {name.replace("_", " ").casefold() for name in rules}:
        listed = ", ".join(dict.fromkeys(rules)) or "none"
        raise LookupError(f"No rule {rule!r} touched {describe_document(history.document)}. These did: {listed}.")
    return [(step, change) for step, change in found if wanted in {name.replace("_", " ").casefold() for name in change.rules}]


def _origin(history: DocumentHistory) -> Iterator[Line]:
    about, document = history.metadata, history.document
    yield ((printable(document.title), NAME),)
    yield ((f"document {document.id}: {printable(document.name)}", ""),)
    parts = [f"source {document.source}", f"path {document.path}"]
    parts += [f"{name} {about[name]}" for name in ("format", "encoding", "parts") if name in about]
    if "language" in about:
        sure = f" ({about['language_probability']:.2f})" if "language_probability" in about else ""
        parts.append(f"language {about['language']}{sure}")
    parts += ["its text has another title than its file name"] if about.get("title_mismatch") else []
    for line in (*wrapped(f"from: {printable(', '.join(parts))}"), *wrapped(f"in: {history.corpus.description}")):
        yield ((line, ""),)


def _outcomes(history: DocumentHistory) -> Iterator[Line]:
    yield ()
    if history.quarantine:
        yield (("quarantined by ingest: ", NAME), (printable(history.quarantine), ""))
    for step in history.steps:
        yield ((f"{step.stage:14}", NAME), (printable(outcome_of(history, step)), ""))
        rows = [
            (
                row["action"],
                row["rule"],
                f"{row['count']:,}",
                f"{row['characters']:,}",
                signed(-row["net"]),
                with_names(history, row["detail"]),
            )
            for row in step.ledger[:-1]
        ]
        for text in columns([("", "rule", "pieces", "characters", "length", ""), *rows] if rows else [], frozenset({2, 3, 4})):
            yield ((f"{'':14}  {printable(text)}", "" if not text.startswith(" ") else DIM),)
        for other in step.shared.duplicates[:LINES]:
            yield ((f"{'':14}  kept in place of {with_names(history, other)}", ""),)


def outcome_of(history: DocumentHistory, step: Step) -> str:
    """Return what a stage decided about a document, in words."""
    outcome, detail = step.outcome, with_names(history, step.outcome["detail"])
    why = f"{outcome['rule']}{f' ({detail})' if detail else ''}"
    if step.splits:
        where = f"kept in {', '.join(step.splits)}"
        return f"{where}: {why}" if why and outcome["rule"] not in step.splits else where
    if outcome["action"] == "kept":
        return f"kept, {len(step.text or ''):,} characters"
    if outcome["action"] == "duplicate":
        return f"duplicate, {why}"
    return f"{outcome['action'] or 'lost'} by {why}" if why else outcome["action"]


def with_names(history: DocumentHistory, text: str) -> str:
    """Return the text with each document's name added where its id comes first."""
    for identity, name in history.names.items():
        text = text.replace(identity, f"{identity} ({name})", 1)
    return text


def changes_shown(history: DocumentHistory, found: StepChanges, limit: int) -> Iterator[Line]:
    """Yield changes as styled lines, at most `limit`, some of every rule, each with the lines around it."""
    yield ()
    if not found:
        edited = any(row["action"] == "changed" for step in history.steps for row in step.ledger)
        yield (("the counts above are all that was recorded of its changes" if edited else "no rule changed it", ""),)
        return
    shown = sample_by_rule(found, limit)
    rest = f"; {len(found) - len(shown):,} more with --full, --limit or --rule" if len(shown) < len(found) else ""
    yield ((f"changes, {len(shown):,} of {len(found):,}{rest}", NAME),)
    width = max((len(rule) for _, change in shown for rule in change.rules), default=0)
    for step in dict.fromkeys(step.stage for step, _ in shown):
        here = [change for other, change in shown if other.stage == step]
        (of,) = (one for one in history.steps if one.stage == step)
        lines = split_lines(history.text_before(of))
        offsets = redaction_contexts(of.changes, of.text or "", ROOM) if step == "filter" else {}
        for change in here:
            yield ()
            where = f"place {change.place}" if change.place else "whole"
            yield ((f"{step}, {where}{f', round {change.round}' if change.round > 1 else ''}", DIM),)
            yield from _change(history, change, width, context_lines(change, lines), offsets.get(change, ""), limit < len(found))


def sample_by_rule(found: StepChanges, limit: int) -> StepChanges:
    """Return at most `limit` changes in their order, taking the first of every rule, then the second, and so on."""
    turns: dict[str, int] = {}
    ranked = []
    for index, (_, change) in enumerate(found):
        turn = min(turns.get(rule, 0) for rule in change.rules)
        for rule in change.rules:
            turns[rule] = turns.get(rule, 0) + 1
        ranked.append((turn, index))
    return [found[index] for index in sorted(index for _, index in sorted(ranked)[:limit])]


def _change(
    history: DocumentHistory, change: Change, width: int, beside: tuple[str, str] | None, place: str, short: bool
) -> Iterator[Line]:
    room = ROOM if short else 0
    before, blank = change.before, f"  {'':{width}}  "
    if beside and beside[0].strip():
        yield ((f"{blank}{printable(_ending(beside[0]))}", DIM),)
    for touch in change.touches:
        if touch.after is None:
            note = f"  [{with_names(history, touch.detail)}]" if touch.detail else ""
            yield from _lines("-", touch.rule, width, ((_shortened(before, short), CUT),), note)
            continue
        old, new = differing(before, touch.after, room)
        if touch is change.touches[0]:
            yield from _lines("-", touch.rule, width, old)
        yield from _lines("+", touch.rule, width, new)
        before = touch.after
    if place:
        yield ((f"{blank}{printable(' '.join(place.split()))}", DIM),)
    if beside and beside[1].strip():
        yield ((f"{blank}{printable(_beginning(beside[1]))}", DIM),)


def _lines(mark: str, rule: str, width: int, spans: Iterable[tuple[str, str]], note: str = "") -> Iterator[Line]:
    """Yield a styled text line by line behind its mark."""
    rows: list[list[tuple[str, str]]] = [[]]
    for text, style in spans:
        first, *others = printable(text).split("\n")
        rows[-1].append((first, style))
        rows += [[(other, style)] for other in others]
    for number, row in enumerate(rows):
        ending = [(printable(note), DIM)] if note and number == len(rows) - 1 else []
        yield ((f"{mark} {rule if number == 0 else '':{width}}  ", NAME), *row, *ending)


def _shortened(text: str, short: bool) -> str:
    return f"{text[:LONGEST]}… ({len(text) - LONGEST:,} more characters)" if short and len(text) > LONGEST + ROOM else text


def _ending(line: str) -> str:
    return f"…{line[-ROOM:]}" if len(line) > 2 * ROOM else line


def _beginning(line: str) -> str:
    return f"{line[:ROOM]}…" if len(line) > 2 * ROOM else line


def _removed_text(history: DocumentHistory) -> Iterator[Line]:
    """Yield the last text of a document that was removed."""
    if history.steps and history.steps[-1].text is None and history.final_text:
        lines = history.final_text.split("\n")
        yield from ((), ((f"its text as it reached {history.steps[-1].stage}", NAME),))
        yield from (((printable(line), ""),) for line in lines[:LINES])
        if len(lines) > LINES:
            yield ((f"… {len(lines) - LINES:,} more lines with --full", DIM),)


def _whole(title: str, text: str, found: StepChanges) -> Iterator[Line]:
    yield from ((), ((f"{title}, {len(text):,} characters", NAME),))
    first = {change.place: change for _, change in reversed(found) if change.round == 1}
    width = max((len(", ".join(change.rules)) for change in first.values()), default=0)
    blank = f"  {'':{width}}  " if found else ""
    for number, line in enumerate(split_lines(text) if found else text.split("\n"), start=1):
        change = first.get(number)
        if change is not None and change.before == line:
            yield ((f"- {', '.join(change.rules):{width}}  ", NAME), (printable(line), CUT if change.after is None else "red"))
        else:
            yield ((f"{blank}{printable(line)}", ""),)


def history_json(history: DocumentHistory, found: Sequence[tuple[Step, Change]]) -> dict[str, object]:
    """Return a history as plain data."""
    document, run = history.document, history.corpus.run
    return {
        "document": {"id": document.id, "source": document.source, "path": document.path, "title": document.title},
        "metadata": history.metadata,
        "recipe": run.recipe,
        "run": run.id,
        "quarantined": history.quarantine,
        "stages": [
            {"stage": step.stage, "location": step.artifact.location, "action": step.outcome["action"], "rule": step.outcome["rule"],
             "detail": step.outcome["detail"], "characters": None if step.text is None else len(step.text), "splits": list(step.splits),
             "rules": [{key: value for key, value in row.items() if key not in ("id", "stage")} for row in step.ledger[:-1]],
             "duplicates": list(step.shared.duplicates)}
            for step in history.steps
        ],
        "changes": [{"stage": step.stage} | asdict(change) for step, change in found],
        "names": history.names,
        "before": history.original_text,
        "after": history.final_text,
    }  # fmt: skip
