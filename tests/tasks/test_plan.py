"""A plan names what a run will do and the exact cause, and a run does what the plan said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tasks.stage import identity
from tasks.stage.plan import Decision
from tests.tasks.toys import BODIES, PLACES, Collect, Count, Judge, Learn, Toys, Workshop


@dataclass(frozen=True)
class Edit:
    """One change since the last run, what the plan must say of it, and which bodies work then."""

    name: str
    executes: tuple[str, ...]
    cause: str
    recipe: Toys = Toys()
    source: tuple[str, str] = ("", "")
    book: str = ""
    library: str = ""
    refresh: tuple[str, ...] = ()


EDITS = (
    Edit("nothing", (), ""),
    Edit("a_field", ("learn", "judge"), "rate: 0.5 -> 0.25", recipe=Toys(learn=Learn(rate=0.25))),
    Edit("the_last_stage", ("judge",), "limit: 1 -> 2", recipe=Toys(judge=Judge(limit=2))),
    Edit("a_constant_that_a_helper_reads", ("learn", "judge"), "code tasks/toys.py MARK changed", source=('MARK = "."', 'MARK = "!"')),
    Edit("a_comment", (), "", source=('MARK = "."', 'MARK = "."  # ends it')),
    Edit("a_file_read", BODIES[:1] + ("count", "learn", "judge"), "file words.txt changed", book="a book", recipe=Toys(collect=Collect())),
    Edit("a_library", ("count",), "library pydantic: ", library="0.0.1"),
    Edit("a_refresh", ("learn",), "a refresh was asked for", refresh=("learn",)),
    Edit("equal_bytes", ("count",), "longest: 9 -> 8", recipe=Toys(count=Count(longest=8))),
    Edit("equal_bytes_in_part", ("collect", "count", "judge"), 'words: "the cat the dog" -> "The cat the dog"', recipe=Toys(collect=Collect(words="The cat the dog"))),
)
