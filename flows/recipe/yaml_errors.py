"""Show a mistake in YAML: file, line and column, the line itself with a caret, and what to write instead."""

from __future__ import annotations

import yaml

# What YAML's reader says -> what to do about it.
ADVICE = {
    "but found '<stream end>'": "the text ends too early; close the bracket, or give the value",
    "mapping values are not allowed here": "a second colon in one line; put a text that holds one in quotes",
    "found character '\\t' that cannot start any token": "a tab; indent with spaces",
    "found unexpected end of stream": "the text ends inside a quote; close it",
    "expected ',' or ']'": "a list that begins with [ needs commas between its entries and a ] at its end",
    "expected ',' or '}'": "a section that begins with { needs commas between its keys and a } at its end",
    "expected <block end>": "a line that is indented unlike its neighbours",
    "could not find expected ':'": "a key without a colon; write key: value",
    "found undefined alias": "a word that begins with *; put it in quotes",
    "found character '%'": "a word that begins with %; put it in quotes",
    "found character '@'": "a word that begins with @; put it in quotes",
    "could not determine a constructor for the tag": "a word that begins with !; put it in quotes",
}


def yaml_error(where: str, error: yaml.YAMLError) -> str:
    """Return the message for a text from `where`, a file or an option, that can't be read as YAML."""
    advice = what_to_write(error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{where} can't be read as YAML: {advice}"
    shown = mark.get_snippet(indent=2) or ""
    place = f"{where}, line {mark.line + 1}, column {mark.column + 1}: {advice}"
    return f"{place}\n{shown}".rstrip() if shown.partition("\n")[0].strip() else place


def what_to_write(error: yaml.YAMLError) -> str:
    """Return what is wrong in words that say what to write."""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return next((words for said, words in ADVICE.items() if said in problem), problem)
