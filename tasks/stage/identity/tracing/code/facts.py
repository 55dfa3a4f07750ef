"""The facts of a source file: its statements, what each mentions, and hashes of what it does.

They depend on the file's bytes and path alone, so they are cached by the hash of these, beside a checksum.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tasks.stage.system.atomic_files import keep, kept

VERSION = 5
Chain = tuple[str, ...]


class Piece(NamedTuple):
    """A piece of code: hashes of what it does, and what it mentions.

    `plain` leaves out docstrings and annotations that nothing reads, `described` keeps them. `names`: names that are the module's;
    `types`: the same in annotations of fields, where they are no values. `attributes`: asked of anything. `words`: in strings, and what
    imports inside ask for by name. `values`: names, and attributes after a dot, that are used otherwise than called. `imports`: (module,
    attribute) of what it imports when it runs.
    """

    plain: str = ""
    described: str = ""
    names: Chain = ()
    types: Chain = ()
    attributes: Chain = ()
    words: Chain = ()
    values: Chain = ()
    imports: tuple[Chain, ...] = ()


class Choice(NamedTuple):
    """A union that has a name: its members, and its type without them, if a tag decides between them."""

    members: tuple[Chain, ...]
    frame: Piece | None = None


class Item(NamedTuple):
    """A statement of a module or a class.

    `kind`: "def", "class", "import", "typing" (for the type checker alone), "program" (what runs under `__name__ == "__main__"`) or "act"
    (anything else). `piece`: of a definition, its header with decorators and defaults. `notes`: a function's annotations, if its decorators
    don't read them. `imports`: (local name, module, attribute) of import statements in it. `loose`: a definition that does nothing when
    its statement runs but bind its name. `constant`: binds literals to names. `registered`: its decorators may keep it. `plain`: a class
    that nothing decorates, whose keywords are literals and no metaclass. `tags`: of a class, the tags by which a union chooses it.
    `choice`: the union that it names.
    """

    kind: str
    names: Chain
    piece: Piece
    body: Piece | None = None
    notes: Piece | None = None
    members: tuple[Item, ...] = ()
    imports: tuple[tuple[str, str, str], ...] = ()
    loose: bool = False
    constant: bool = False
    registered: bool = False
    plain: bool = False
    bases: tuple[Chain, ...] = ()
    tags: Chain = ()
    choice: Choice | None = None


class FileFacts(NamedTuple):
    """A module: its statements in order, a hash of its docstring, and why Python can't read it; "" if it can."""

    items: tuple[Item, ...] = ()
    documentation: str = ""
    broken: str = ""


def kept_facts(cache: Path | None, key: str) -> FileFacts | None:
    """Return cached facts; None if there are none or they are damaged."""
    content = kept(cache / f"{key}.facts") if cache is not None else None
    if content is None:
        return None
    items, documentation, broken = marshal.loads(content)
    return FileFacts(tuple(map(_item, items)), documentation, broken)


def keep_facts(cache: Path | None, key: str, facts: FileFacts) -> None:
    """Put facts into the cache."""
    if cache is not None:
        keep(cache / f"{key}.facts", marshal.dumps(_plain(facts)))


def facts_key(path: str, digest: str, rules: str) -> str:
    """Return the name under which a file's facts are cached; `rules`: hash of the tables that they depend on."""
    return hashlib.sha256(json.dumps([VERSION, sys.version_info[:2], path, digest, rules]).encode()).hexdigest()


def short_hash(text: str) -> str:
    """Return 24 hex digits of a hash, enough to tell any two pieces of code apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _plain(value: Any) -> Any:
    """Return named tuples as plain ones, which `marshal` writes."""
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def _item(data: tuple[Any, ...]) -> Item:
    item = Item(*data)
    choice = item.choice and Choice(item.choice[0], _piece(item.choice[1]))
    piece = Piece(*item.piece)
    return item._replace(
        piece=piece, body=_piece(item.body), notes=_piece(item.notes), members=tuple(map(_item, item.members)), choice=choice
    )


def _piece(data: tuple[Any, ...] | None) -> Piece | None:
    return None if data is None else Piece(*data)
