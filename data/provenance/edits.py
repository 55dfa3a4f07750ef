"""Read what stages removed from documents and wrote instead, from `removed/<rule>.parquet` and `edits.parquet`.

When several rules edit the same line one after another, the result is one `Change` with a step for each rule, as long as each rule starts
from what the previous one left, or from a word of it. An edit that doesn't connect becomes a change of its own; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

EDITS_FILE = "edits.parquet"
FOLDER = "removed"
_ROUND = re.compile(r"round (\d+)")
_LINE_END = re.compile("\r*\n|[\r\u2028\u2029\x0b]")
_PAGE_END = re.compile("\n?\f\n?")
_LENGTH = re.compile(r"(\d+) characters?$")


@dataclass(frozen=True)
class RuleEdit:
    """One rule's edit: `after` is the new text, or None if the rule removed the text."""

    rule: str
    after: str | None
    detail: str = ""


@dataclass(frozen=True)
class Change:
    """A stretch of a document before any rule edited it, and the edits of each rule in order.

    `round` and `place` are counted as the stage counts them; place 0 means the whole document.
    """

    round: int
    place: int
    before: str
    touches: tuple[RuleEdit, ...]

    @property
    def after(self) -> str | None:
        """The final text; None if it was removed."""
        return self.touches[-1].after

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that edited it, in order."""
        return tuple(edit.rule for edit in self.touches)


def is_edit_file(path: str) -> bool:
    """Whether a file of a stage holds removed or rewritten text of documents."""
    return path == EDITS_FILE or (PurePosixPath(path).parent.name == FOLDER and path.endswith(".parquet"))


def removed_file(rule: str) -> str:
    """The path of the file with a rule's removed text."""
    return f"{FOLDER}/{rule.replace(' ', '_')}.parquet"


def merge_changes(
    edits: Iterable[Mapping[str, Any]], removed: Mapping[str, Iterable[Mapping[str, Any]]], lines: Sequence[str] = ()
) -> list[Change]:
    """Merge the rows of one document into changes, ordered by round and place.

    `edits` are rows of edits.parquet; `removed` maps each rule to its rows of removed/. With `lines`, the document's lines as they came to
    the stage, an edited word is shown within its line.
    """
    found_edits = [(row["round"], row["place"], row["before"], RuleEdit(row["rule"], row["after"])) for row in edits]
    for rule, rows in removed.items():
        for row in rows:
            round_match = _ROUND.fullmatch(row["detail"])
            detail = "" if round_match else row["detail"]
            found_edits.append((int(round_match[1]) if round_match else 1, row["place"], row["text"], RuleEdit(rule, None, detail)))
    changes: list[Change] = []
    for number, place, before, edit in sorted(found_edits, key=lambda one: one[:2]):
        last = changes[-1] if changes else None
        if last and (last.round, last.place) == (number, place) and (step := _within(last.after, before, edit)):
            changes[-1] = Change(number, place, last.before, (*last.touches, step))
            continue
        line = lines[place - 1] if number == 1 and 0 < place <= len(lines) else None
        step = _within(line, before, edit)
        changes.append(Change(number, place, line, (step,)) if step and line is not None else Change(number, place, before, (edit,)))
    return changes


def _within(line: str | None, before: str, edit: RuleEdit) -> RuleEdit | None:
    """Return the edit applied to a whole line, if it edited that line or one of its words."""
    if line is None or line == before:
        return None if line is None else edit
    word = re.compile(rf"(?<!\w){re.escape(before)}(?!\w)")
    if edit.after is None or not before.strip() or not word.search(line):
        return None
    return RuleEdit(edit.rule, word.sub(edit.after.replace("\\", r"\\"), line, count=1), edit.detail)


def split_lines(text: str) -> list[str]:
    """Split a text into lines as cleaning does: at the line ends of every system, with each form feed on a line of its own."""
    return _PAGE_END.sub("\n\f\n", _LINE_END.sub("\n", text)).split("\n")


def context_lines(change: Change, lines: list[str]) -> tuple[str, str] | None:
    """Return the lines before and after a change; None if its text isn't found in `lines`, or is found more than once."""
    changed = split_lines(change.before)
    first = change.place - 1
    # Later rounds count the lines that earlier ones left, so there the text itself has to be searched for.
    if change.round != 1 or first < 0 or lines[first : first + len(changed)] != changed:
        matches = [at for at, line in enumerate(lines) if line == changed[0] and lines[at : at + len(changed)] == changed]
        if len(matches) != 1:
            return None
        (first,) = matches
    end = first + len(changed)
    return (lines[first - 1] if first else "", lines[end] if end < len(lines) else "")


def redaction_contexts(changes: Iterable[Change], text: str, room: int) -> dict[Change, str]:
    """Map each redaction to its tag with `room` characters of context on both sides, cut from the redacted `text`.

    A redaction records the kind and length of what was found ("e-mail, 17 characters"), never the data itself. One whose tag isn't at the
    expected offset is left out.
    """
    shift, contexts = 0, {}
    for change in sorted(changes, key=lambda one: one.place):
        length = _LENGTH.search(change.before)
        if length is None or change.after is None:
            continue
        start = change.place - 1 + shift
        end = start + len(change.after)
        if text[start:end] == change.after:
            contexts[change] = text[max(start - room, 0) : end + room]
        shift += len(change.after) - int(length[1])
    return contexts
