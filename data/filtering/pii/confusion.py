"""How well personal data is found, as a confusion matrix: sentences in which it is known, by the kind that is found there."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from data.filtering.observed_files import ObservedFiles
from data.filtering.pii.config import KINDS, PiiConfig
from data.filtering.pii.kinds import Finder, enabled_kinds
from data.filtering.pii.labelled import NOTHING, Labelled, labelled
from data.filtering.pii.names import load_names
from data.filtering.pii.redact import find_all

FILE = "personal_data.json"
PARTLY = "partly"
SENTENCES, SEED = 60, 1
Matrix = dict[str, dict[str, int]]


def confusion(config: PiiConfig, sentences: Iterable[Labelled], names: Finder | None = None) -> Matrix:
    """Return {what stands there: {what is found there: sentences}}, of the kinds that `config` looks for, and of nothing.

    A value counts for a kind only if it is found from end to end, and otherwise as partly found. What is found beside the value counts in
    the row of nothing, unless it is the name of a person who stands there. `names` finds names, where `config` looks for them.
    """
    searched = enabled_kinds(config, names)
    counts = defaultdict[str, Counter[str]](Counter)
    for one in sentences:
        if one.kind != NOTHING and config.action(one.kind) == "off":
            continue
        row = counts[one.kind]
        found = find_all(one.text, config, searched)
        at = [mark for mark in found if mark.start < one.end and one.start < mark.end]
        whole = [mark.kind for mark in at if mark.start <= one.start and one.end <= mark.end]
        if one.kind == NOTHING:
            row.update([mark.kind for mark in at] or [NOTHING])
        else:
            row[whole[0] if whole else PARTLY if at else NOTHING] += 1
        beside = (mark for mark in found if mark not in at and not (mark.kind == "name" and (mark.start, mark.end) in one.people))
        counts[NOTHING].update(mark.kind for mark in beside)
    columns = (*(kind for kind in KINDS if config.action(kind) != "off"), PARTLY, NOTHING)
    return {kind: {found: counts[kind][found] for found in columns} for kind in (*KINDS, NOTHING) if kind in counts}


def write_confusion(output: Path, config: PiiConfig, files: ObservedFiles) -> None:
    """Write personal_data.json into a stage's output: the matrix of `SENTENCES` sentences of each kind."""
    matrix = confusion(config, labelled(SENTENCES, SEED), load_names(config, files))
    (output / FILE).write_text(json.dumps(matrix, indent=1) + "\n", encoding="utf-8")
