"""A stage's code identity sees every edit that can change what it does, and no other; where it can't tell, it says so.

The edits stand in `edits/*.diff`: after `#` what is edited (or the reason that must be told), after `@` a file, `-` and `+` before its
lines as in any diff. The stage is `work` in data/near.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tasks.stage.identity.code.reach import PERHAPS, Walk
from tasks.stage.identity.code.source_tree import Tree
from tasks.stage.identity.code.sources import Sources


class Edit(NamedTuple):
    """A program before and after an edit."""

    what: str
    before: dict[str, str]
    after: dict[str, str]


def edits(name: str) -> list[Edit]:
    """The edits of a table."""
    found: list[Edit] = []
    path = ""
    for line in (Path(__file__).parent / "edits" / f"{name}.diff").read_text().splitlines():
        mark, text = line[:1], line[2:]
        if mark == "#":
            found.append(Edit(text, {"data/__init__.py": ""}, {"data/__init__.py": ""}))
        elif mark == "@":
            path = text
            found[-1].before[path], found[-1].after[path] = "", ""
        else:
            for program in (found[-1].before,) * (mark != "+") + (found[-1].after,) * (mark != "-"):
                program[path] += f"{text}\n"
    return found


def reached(files: dict[str, str]) -> dict[str, str]:
    """The fingerprint of a program's stage."""
    tree = Tree({name: text.encode() for name, text in files.items()})
    module = tree.module("data.near")
    assert module is not None
    return Walk(Sources(tree)).run(module, "work")


def difference(edit: Edit) -> dict[str, str]:
    """What an edit changes in the fingerprint."""
    assert edit.before != edit.after
    before, after = reached(edit.before), reached(edit.after)
    return {name: after.get(name, "") or before[name] for name in {*before, *after} if before.get(name) != after.get(name)}


def table(name: str) -> pytest.MarkDecorator:
    """A test for each edit of a table."""
    return pytest.mark.parametrize("edit", edits(name), ids=lambda edit: edit.what)


@table("seen")
def test_an_edit_that_can_change_what_a_stage_does_is_seen(edit: Edit) -> None:
    assert difference(edit)


@table("unseen")
def test_an_edit_that_cannot_change_what_a_stage_does_is_not_seen(edit: Edit) -> None:
    assert not difference(edit)


@table("perhaps")
def test_an_edit_that_may_not_be_reached_is_seen_and_marked_with_the_reason(edit: Edit) -> None:
    assert {value.partition(PERHAPS)[2] for value in difference(edit).values()} == {edit.what}


@table("seen")
def test_the_order_in_which_files_are_found_is_no_identity(edit: Edit) -> None:
    assert reached(edit.before) == reached(dict(reversed(edit.before.items())))
