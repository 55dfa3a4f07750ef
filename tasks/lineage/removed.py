"""The tables of what rules took away in a run: which there are, how much each holds, where they lie, and what is in them.

Costs reading the ends of the files to count rows, and the first rows of those that are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from data.provenance.edits import EDITS_FILE, is_edit_file
from data.provenance.tables import count_rows, first_rows
from tasks.lineage.chain import Chain
from tasks.stage.store.artifact import Artifact


@dataclass(frozen=True)
class Taken:
    """What a rule of a stage took: the file of every shard in which it took something, with the number of its rows."""

    stage: str
    rule: str
    files: tuple[tuple[Artifact, str, int], ...]

    @property
    def rows(self) -> int:
        """How many pieces it took."""
        return sum(rows for _, _, rows in self.files)

    def places(self, root: str) -> list[str]:
        """Where the files lie in a store."""
        return [f"{root}/{artifact.location}/{file}" for artifact, file, _ in self.files]


def removed_tables(chain: Chain) -> list[Taken]:
    """Every table of a run, by stage in order, then by rule."""
    found: dict[tuple[str, str], list[tuple[Artifact, str, int]]] = {}
    for stage, artifacts in chain.stages.items():
        for artifact in artifacts:
            for file in sorted(known.path for known in artifact.files if is_edit_file(known.path) and known.path != EDITS_FILE):
                found.setdefault((stage, PurePosixPath(file).stem), []).append((artifact, file, chain.ask(artifact, file, count_rows)))
    order = list(chain.stages)
    names = sorted(found, key=lambda name: (order.index(name[0]), name[1]))
    return [Taken(*name, tuple(found[name])) for name in names if sum(rows for _, _, rows in found[name])]


def taken_by(chain: Chain, rule: str) -> list[Taken]:
    """The tables of a rule, given as it is called or as `stage/rule`. Raises LookupError naming the rules that took something."""
    tables = removed_tables(chain)
    wanted = rule.strip().replace(" ", "_").casefold()
    found = [taken for taken in tables if wanted in (taken.rule.casefold(), f"{taken.stage}/{taken.rule}".casefold())]
    if not found:
        near = get_close_matches(wanted, [taken.rule for taken in tables], 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        listed = ", ".join(f"{taken.stage}/{taken.rule} ({taken.rows:,})" for taken in tables) or "none"
        raise LookupError(
            f"Nothing was taken by a rule {rule!r} in the corpus of {chain.words}{hint} Rules that took something: {listed}. "
            "What a rule replaced in place is in: folio corpus show DOC --rule NAME"
        )
    return found


def rows_taken(chain: Chain, taken: Taken, most: int) -> Iterator[dict[str, Any]]:
    """The first rows of a table, through its shards in order: id, place, text, detail."""
    for artifact, file, rows in taken.files:
        if most <= 0:
            return
        yield from chain.ask(artifact, file, partial(first_rows, most=most))
        most -= rows
