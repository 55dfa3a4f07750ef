"""Personal data taken out of documents: every find replaced by a tag, over and over until there is none.

Guarantees: idempotent (a text that was redacted has nothing left to find); what was found is written nowhere: the account of edits says its
kind and length, and a document that is dropped is kept among the removed ones with tags in their place. Costs: SQL reads every text once
for each kind, 100 to 350 MB/s; only documents that may have something are looked at closely.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.pii.config import KINDS, PiiConfig
from data.filtering.pii.kinds import Kind, enabled_kinds

CALLED = {
    "email": "e-mail",
    "iban": "IBAN",
    "card": "payment card",
    "identity": "national number",
    "ip": "IP address",
    "phone": "phone",
}


@dataclass(frozen=True)
class Find:
    """Personal data in a text, and what is put there instead."""

    kind: str
    start: int
    end: int
    tag: str


def find_all(text: str, config: PiiConfig, looked_for: tuple[Kind, ...]) -> list[Find]:
    """Everything that is found, in order, nothing twice: what an earlier kind has found is not sought by a later one."""
    found: list[Find] = []
    for kind in looked_for:
        tag = config.replacement.replace("{KIND}", kind.tag)
        starts, ends = [find.start for find in found], [find.end for find in found]
        new = [Find(kind.name, start, end, tag) for start, end in kind.find(text, config) if _free(start, end, starts, ends)]
        found = sorted([*found, *new], key=lambda find: find.start)
    return found


def _free(start: int, end: int, starts: list[int], ends: list[int]) -> bool:
    """Whether a place touches none of those that begin at `starts` and end at `ends`, in order."""
    following = bisect_left(starts, end)
    return following == 0 or ends[following - 1] <= start


def redact(text: str, config: PiiConfig, hinted: tuple[Kind, ...]) -> tuple[str, list[list[Find]]]:
    """The text without what was found, and the finds of each round, by their places in the text of that round.

    The first round looks for `hinted` alone, the kinds that the text may have."""
    rounds: list[list[Find]] = []
    while found := find_all(text, config, enabled_kinds(config) if rounds else hinted):
        pieces, last = [], 0
        for find in found:
            pieces += [text[last : find.start], find.tag]
            last = find.end
        text = "".join([*pieces, text[last:]])
        rounds.append(found)
    return text, rounds


def pii(config: PiiConfig) -> Step:
    """Looks for the kinds that are on, and redacts or drops."""
    looked_for = enabled_kinds(config)
    hints = ", ".join(f"regexp_matches(coalesce(given, text), '{kind.hint}') AS {kind.name}" for kind in looked_for)

    def step(batch: Batch) -> None:
        if not looked_for:
            return
        batch.load()
        for document, row in batch.rows(f"SELECT n, {hints} FROM plain ORDER BY n"):
            hinted = tuple(kind for kind in looked_for if row[kind.name])
            if hinted:
                _take_out(document, config, hinted)
        batch.changed()

    return step


def _take_out(document: TrackedDocument, config: PiiConfig, hinted: tuple[Kind, ...]) -> None:
    text, rounds = redact(document.text, config, hinted)
    document.row["text"] = text
    for number, found in enumerate(rounds, start=1):
        for find in found:
            edit = {"round": number, "rule": f"pii {find.kind}", "place": find.start + 1}
            before = f"{CALLED[find.kind]}, {find.end - find.start} characters"
            document.edits.append(edit | {"before": before, "after": find.tag})
    counts = Counter(find.kind for found in rounds for find in found)
    for kind in KINDS:
        mine = [find for found in rounds for find in found if find.kind == kind]
        if mine:
            size = sum(find.end - find.start for find in mine)
            document.note("changed", f"pii {kind}", len(mine), size, size - sum(len(find.tag) for find in mine))
    for kind in KINDS:
        if config.action(kind) == "drop" and counts[kind] > config.drop_above:
            document.remove(f"pii {kind}", f"{kind} {counts[kind]} > {config.drop_above}")
            return
