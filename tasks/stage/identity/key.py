"""The key of a stage execution and its ingredients, and the address of what it made.

key = H(stage name, own config, input digests, state of outside files it reads): what is known before the stage runs.
address = H(key, trace): the trace says which code, files and libraries the execution read, and is known afterwards.

The key is a function of its ingredients alone, equal in every process and on every machine; a value without a stable serialization is
refused by name. The ingredients are kept by name to show how two keys differ. A config field with
`json_schema_extra=NOT_IDENTITY` is left out: what it selects is observed instead, or it changes no byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from enum import Enum

from pydantic import BaseModel, JsonValue

LARGEST = 1024
SURROGATE = re.compile("[\ud800-\udfff]")
KEY_DIGITS = 6
"""Digits of its key that an address begins with, so folder names show which artifacts a key may find."""
NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}


class UnstableValue(TypeError):
    """A config value whose serialization could differ between two processes."""


def stable(value: object, where: str) -> object:
    """Return `value` as plain JSON data. Raises UnstableValue naming the field if it has no stable form."""
    if isinstance(value, BaseModel):
        counted = [name for name, field in type(value).model_fields.items() if field.json_schema_extra != NOT_IDENTITY]
        return {name: stable(getattr(value, name), f"{where}.{name}") for name in sorted([*counted, *(value.model_extra or ())])}
    if isinstance(value, Enum):
        return stable(value.value, where)
    if isinstance(value, int) and value.bit_length() > LARGEST:
        raise UnstableValue(
            f"{where}: a number of {value.bit_length()} bits has no text that every Python reads; use one below 2**{LARGEST}."
        )
    if isinstance(value, str) and SURROGATE.search(value):
        raise UnstableValue(f"{where}: {value!r} holds half a character (a surrogate), which no file can hold; write the whole character.")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnstableValue(f"{where}: {value!r} is not a finite number, so it can't be part of an identity.")
        return value
    if isinstance(value, (list, tuple)):
        return [stable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := [name for name in value if not isinstance(name, str)]:
            raise UnstableValue(f"{where}: the key {odd[0]!r} is a {type(odd[0]).__name__}; only string keys have a stable order.")
        return {name: stable(value[name], f"{where}.{name}") for name in sorted(value)}
    raise UnstableValue(f"{where}: a {type(value).__name__} has no stable serialization; use numbers, strings, lists or a pydantic model.")


def flatten(value: object, where: str) -> dict[str, str]:
    """Flatten plain JSON data to dotted name -> JSON text, one entry a leaf; different data never give the same entries."""
    if isinstance(value, dict) and value:
        return {k: v for name in value for k, v in flatten(value[name], f"{where}{_member(name)}").items()}
    if isinstance(value, list) and value and any(isinstance(item, dict) for item in value):
        return {k: v for i, item in enumerate(value) for k, v in flatten(item, f"{where}[{i}]").items()}
    return {where: json.dumps(value, ensure_ascii=False)}


def _member(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name, ensure_ascii=False)}]"


def compute_key(stage: str, ingredients: Mapping[str, str]) -> str:
    """Return the hex sha256 of the stage name and its ingredients."""
    text = json.dumps([stage, sorted(ingredients.items())], ensure_ascii=False, separators=(",", ":"))
    # A file name may hold bytes that are not text.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def compute_address(key: str, trace: str) -> str:
    """Return the identity of an execution from its key and the hash of its trace, 64 hex digits of which the first are the key's."""
    return key[:KEY_DIGITS] + hashlib.sha256(json.dumps([key, trace]).encode()).hexdigest()[KEY_DIGITS:]
