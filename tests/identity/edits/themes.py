"""All cases, by theme, and the quiet ones that run again."""

from __future__ import annotations

from tests.identity.edits import (
    classes,
    constants,
    definitions,
    files,
    functions,
    imports,
    lookups,
    overrides,
    processes,
    protocols,
    words,
)

THEMES = {
    "constants": constants.PROGRAMS,
    "functions": functions.PROGRAMS,
    "classes": classes.PROGRAMS,
    "definitions": definitions.PROGRAMS,
    "protocols": protocols.PROGRAMS,
    "overrides": overrides.PROGRAMS,
    "lookups": lookups.PROGRAMS,
    "imports": imports.PROGRAMS,
    "files": files.PROGRAMS,
    "processes": processes.PROGRAMS,
    "words": words.PROGRAMS,
}
CASES = [case for theme, programs in THEMES.items() for each in programs for case in each.cases(theme)]

CONSERVATIVE = {
    "functions: definition in the branch that wasn't taken": "which of two definitions of a name holds is decided by statements that ran",
    "functions: earlier definition, replaced by a later one": "two definitions of a name count together, whichever holds at last",
    "classes: plain class added beside them": "where code asks for subclasses, every class counts",
    "classes: dataclass added that nothing mentions": "a decorator ran when its module was imported",
    "protocols: __rich_repr__, which nothing asks for added": "any library may ask an object for a method of a special name",
}
"""Quiet edits after which a stage runs again all the same, and why that is right to do."""
