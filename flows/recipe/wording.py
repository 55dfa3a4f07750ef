"""Say in plain words what is wrong with a recipe's value: what it must be, and how to write it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tasks.stage.system.nearest import did_you_mean

Context = Mapping[str, Any]
LISTED = 12
PLURALS = {"Tuple": "entry", "List": "entry", "Set": "entry", "Dictionary": "key", "String": "character"}


def _entries(number: int, kind: str) -> str:
    noun = PLURALS.get(kind, "entry")
    plural = noun if number == 1 else "entries" if noun == "entry" else f"{noun}s"
    return f"{number} {plural}"


def _too_short(context: Context, value: Any) -> str:
    least = _entries(context["min_length"], context.get("field_type", "Tuple"))
    return f"needs at least {least}, and has {'none' if not value else len(value)}"


def _too_long(context: Context, value: Any) -> str:
    return f"takes at most {_entries(context['max_length'], context.get('field_type', 'Tuple'))}, and has {len(value)}"


def _pattern(context: Context, value: Any) -> str:
    """Say what a pattern allows, with the nearest text that it would take."""
    pattern, text = context["pattern"], str(value)
    tries = (
        re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"),
        re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._"),
        text.lower(),
        text.upper(),
    )
    like = next((attempt for attempt in tries if attempt and re.search(pattern, attempt)), "")
    if pattern.startswith("^[a-z0-9]") or pattern.startswith("^[a-z]["):
        allowed = "small letters, digits and _, beginning with a letter or a digit"
    elif pattern == "^[0-9a-f]{16}$":
        allowed = "16 of the digits 0-9 and a-f, as document ids are"
    elif pattern == "^[0-9a-f]{64}$":
        allowed = "64 of the digits 0-9 and a-f, as sha256sum prints them"
    elif pattern == "^[a-z]{2,3}$":
        allowed = "the two or three small letters of a language, such as en"
    elif pattern == "^[A-Z]{2}$":
        allowed = "the two capitals of a country, such as GB"
    elif "/" in pattern:
        allowed = "text without a slash"
    else:
        allowed = "letters, digits and . _ -, beginning with a letter or a digit"
    return f"takes {allowed}{f', such as {like}' if like else ''}"


def _choice(context: Context, value: Any) -> str:
    known = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))
    known = known or re.split(r", | or ", str(context.get("expected", "")))
    word = str(context.get("tag", value))
    return f"there is no {word!r} here{did_you_mean(word, known) or f'; choose one of {_listed(known)}'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _bound(words: str, name: str) -> Callable[[Context, Any], str]:
    return lambda context, value: f"must be {words} {context[name]:g}"


def _always(words: str) -> Callable[[Context, Any], str]:
    return lambda context, value: words


WHOLE, NUMBER = _always("needs a whole number, such as 8"), _always("needs a number, such as 0.5")
SWITCH, TEXT = _always("needs true or false"), _always("needs text; put it in quotes")
LIST, SECTION = _always("needs a list, such as [one, two]"), _always("needs keys of its own, such as {key: value}")
WORDS: Mapping[str, Callable[[Context, Any], str]] = {
    "bool_parsing": SWITCH,
    "bool_type": SWITCH,
    "dict_type": SECTION,
    "enum": _choice,
    "finite_number": _always("needs a number that is neither infinite nor nan"),
    "float_parsing": NUMBER,
    "float_type": NUMBER,
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "int_from_float": WHOLE,
    "int_parsing": WHOLE,
    "int_type": WHOLE,
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": _choice,
    "model_attributes_type": SECTION,
    "model_type": SECTION,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda context, value: _too_short({**context, "field_type": "String"}, value),
    "string_type": TEXT,
    "too_long": _too_long,
    "too_short": _too_short,
    "tuple_type": LIST,
    "union_tag_invalid": _choice,
}


def sentence(item: Mapping[str, Any]) -> str:
    """Return what one error of pydantic's says, without the value that was given."""
    words = WORDS.get(item["type"])
    return words(item.get("ctx", {}), item["input"]) if words else str(item["msg"]).removeprefix("Value error, ")


def given(value: Any, most: int = 200) -> str:
    """Return a value as a recipe would write it, not too long."""
    if isinstance(value, float):
        return f"{value:g}"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
