"""The facts of a single source file: its statements, what each mentions, and hashes of what it does.

It depends on the file's bytes and path alone, so it is kept in a cache by their hash, as JSON beside its own checksum.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.stage.identity.tracing.cached_file import keep, kept

Chain = tuple[str, ...]
VERSION = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of code: hashes of what it does, and what it mentions.

    `plain` leaves out docstrings and annotations that nothing reads, `described` keeps them. `names`: names of the
    module with the attributes asked of them; `far`: the same from imports of its own, beginning with a module's name. `imports`: the
    modules and attributes that it imports when it runs. `values`: names, and attributes after a dot, that are used otherwise than called.
    `words`: strings that could name something. `types`: names in annotations of fields, which are not values there.
    """

    plain: str = ""
    described: str = ""
    names: tuple[Chain, ...] = ()
    far: tuple[Chain, ...] = ()
    imports: tuple[Chain, ...] = ()
    attributes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    types: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A union with a name: its members, and its type without them, if a tag decides between them."""

    members: tuple[Chain, ...]
    frame: Piece | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A statement of a module or a class.

    `kind`: "def", "class", "bind" (gives names a value), "import", "typing" (imports for the type checker), "effect" (anything else) or
    "program" (what runs under `__name__ == "__main__"`). `piece`: of a definition, its header with decorators and defaults. `notes`: a
    function's annotations, if its decorators don't read them. `imports`:
    (local name, module, attribute) of import statements in it. `needs`: what must hold so that executing it has no effect beyond binding
    its names. `registered`: decorated by something that may keep it. `tags`: of a class, the tags by which a union chooses it. `choice`:
    the union that it names.
    """

    kind: str
    names: tuple[str, ...]
    piece: Piece
    body: Piece | None = None
    notes: Piece | None = None
    members: tuple[Item, ...] = ()
    imports: tuple[tuple[str, str, str], ...] = ()
    needs: tuple[Chain, ...] = ()
    bases: tuple[Chain, ...] = ()
    keywords: tuple[str, ...] = ()
    registered: bool = False
    tags: tuple[str, ...] = ()
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A module: its statements in order, a hash of its docstring, and why Python can't read it; "" if it can."""

    items: tuple[Item, ...] = ()
    documentation: str = ""
    broken: str = ""


def kept_facts(cache: Path | None, key: str) -> FileFacts | None:
    """Return cached facts; None if there are none or they are damaged."""
    text = kept(cache / f"{key}.facts") if cache is not None else None
    if text is None:
        return None
    found = json.loads(text)
    return FileFacts(tuple(_item(item) for item in found["items"]), found["documentation"], found["broken"])


def keep_facts(cache: Path | None, key: str, facts: FileFacts) -> None:
    """Put facts into the cache."""
    if cache is not None:
        keep(cache / f"{key}.facts", json.dumps(asdict(facts), separators=(",", ":")).encode("utf-8", "surrogatepass"))


def facts_key(path: str, digest: str, rules: str) -> str:
    """Return the name under which a file's facts are kept; `rules`: hash of the tables that they depend on."""
    return hashlib.sha256(json.dumps([VERSION, sys.version_info[:2], path, digest, rules]).encode()).hexdigest()


def _item(data: dict[str, Any]) -> Item:
    return Item(
        data["kind"],
        tuple(data["names"]),
        _piece(data["piece"]),
        _optional(data["body"]),
        _optional(data["notes"]),
        tuple(_item(member) for member in data["members"]),
        tuple((local, module, attribute) for local, module, attribute in data["imports"]),
        _chains(data["needs"]),
        _chains(data["bases"]),
        tuple(data["keywords"]),
        data["registered"],
        tuple(data["tags"]),
        None if data["choice"] is None else Choice(_chains(data["choice"]["members"]), _optional(data["choice"]["frame"])),
    )


def _optional(data: dict[str, Any] | None) -> Piece | None:
    return None if data is None else _piece(data)


def _piece(data: dict[str, Any]) -> Piece:
    return Piece(
        data["plain"],
        data["described"],
        _chains(data["names"]),
        _chains(data["far"]),
        _chains(data["imports"]),
        tuple(data["attributes"]),
        tuple(data["values"]),
        tuple(data["words"]),
        _chains(data["types"]),
    )


def _chains(data: list[list[str]]) -> tuple[Chain, ...]:
    return tuple(tuple(chain) for chain in data)


def short_hash(text: str) -> str:
    """Return 24 hex digits of a hash, enough to tell any two pieces of code apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
