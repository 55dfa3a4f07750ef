"""The rules that decide whether a reply is right. Each reads its own fields of the item's `check`, besides `rule`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from model.evaluation.skills.cart import Cart, CartError
from model.rewards.answers import has_phrase, is_right

Check = Mapping[str, Any]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def contains(reply: str, check: Check) -> bool:
    """Whether the first sentence has one of the phrases of each part."""
    return all(is_right(reply, part) for part in check["parts"])


def word(reply: str, check: Check) -> bool:
    """Whether it is nothing but an accepted answer, with or without a full stop."""
    return reply.strip().removesuffix(".").casefold() in {answer.casefold() for answer in check["answers"]}


def json_object(reply: str, check: Check) -> bool:
    """Whether it is one JSON object of just these fields, each with an accepted value."""
    try:
        found = json.loads(reply)
    except (ValueError, RecursionError):
        return False
    fields: dict[str, list[object]] = check["fields"]
    if not isinstance(found, dict) or found.keys() != fields.keys():
        return False
    return all(any(found[name] == one for one in accepted) for name, accepted in fields.items())


def bullets(reply: str, check: Check) -> bool:
    """Whether it has one line for each entry, `- ` and an accepted value, in any order."""
    lines = reply.strip().splitlines()
    left = list(check["entries"])
    for line in lines:
        entry = next((entry for entry in left if line in [f"- {answer}" for answer in entry]), None)
        if entry is None:
            return False
        left.remove(entry)
    return not left


def reason(reply: str, check: Check) -> bool:
    """Whether it begins with `Because` and has a phrase of each part and none of the others."""
    named = [other for other in check["others"] if has_phrase(reply, other)]
    return reply.strip().startswith("Because") and not named and all(_any(reply, part) for part in check["parts"])


def sentences(reply: str, check: Check) -> bool:
    """Whether it has this many sentences, each with all words of a different statement."""
    written = [sentence for sentence in _SENTENCE.split(reply.strip()) if sentence]
    left = list(check["statements"])
    for sentence in written:
        stated = next((words for words in left if all(has_phrase(sentence, word) for word in words)), None)
        if stated is None:
            return False
        left.remove(stated)
    return bool(len(written) == check["count"])


def cart(reply: str, check: Check) -> bool:
    """Whether it is a valid program after which the town has the goods and the cart is empty."""
    world = Cart(check["makes"], check["holds"])
    try:
        world.run(reply)
    except CartError:
        return False
    return world.left.get(check["town"]) == {check["goods"]: check["count"]} and not world.load.total()


def declines(reply: str, check: Check) -> bool:
    """Whether it refuses if, and only if, that is wanted."""
    return bool(reply.strip()) and _any(reply, check["phrases"]) == bool(check["wanted"])


RULES: dict[str, Callable[[str, Check], bool]] = {
    "contains": contains,
    "word": word,
    "json": json_object,
    "list": bullets,
    "reason": reason,
    "sentences": sentences,
    "cart": cart,
    "declines": declines,
}


def is_done(reply: str, check: Check) -> bool:
    """Return whether a reply does what was asked. Raise ValueError for a rule that is none."""
    rule = RULES.get(str(check.get("rule")))
    if rule is None:
        raise ValueError(f"a test item has rule={check.get('rule')!r}; the rules are {', '.join(RULES)}")
    return rule(reply, check)


def _any(reply: str, phrases: Iterable[str]) -> bool:
    return any(has_phrase(reply, phrase) for phrase in phrases)
