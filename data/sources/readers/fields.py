"""A record with named fields: which of them are its text, its name and its title."""

from __future__ import annotations

from collections.abc import Mapping

from data.sources.errors import Unreadable
from data.sources.readers.record import Broken, Options, Record, Wanted


def record_of(fields: Mapping[str, object], number: int, options: Options, wanted: Wanted, encoding: str = "") -> Record | Broken | None:
    """The record that a row is, or what is wrong with it; None when nobody wants it. `number` names it unless `id_field` does."""
    name = numbered(number, options)
    if options.id_field is not None:
        given = fields.get(options.id_field)
        if not isinstance(given, (str, int)) or isinstance(given, bool) or not str(given).strip():
            return Broken(_broken(options.id_field, given), name) if wanted(name) else None
        name = str(given)
    if not wanted(name):
        return None
    text = fields.get(options.text_field)
    title = fields.get(options.title_field) if options.title_field is not None else None
    if not isinstance(text, str):
        return Broken(_broken(options.text_field, text), name)
    if not text.strip():
        return Broken("empty", name)
    if len(text) > options.limit:
        return Broken(f"too large: {len(text)} characters, the limit is {options.limit}", name)
    return Record(text, name, title if isinstance(title, str) else "", encoding)


def numbered(number: int, options: Options) -> str:
    """What a record is called that can't be called by its own field."""
    return str(number) if options.id_field is None else f"record {number}"


def require_columns(columns: list[str], options: Options) -> None:
    """Go on only if a table has the columns that are asked for. Raises Unreadable naming both."""
    asked = [name for name in (options.text_field, options.id_field, options.title_field) if name is not None]
    if missing := [name for name in asked if name not in columns]:
        raise Unreadable(f"no such column: {', '.join(missing)}; it has {', '.join(columns)[:500]}")


def _broken(field: str, value: object) -> str:
    kinds = {"NoneType": "is missing", "dict": "is an object", "list": "is a list", "bool": "is a truth value", "str": "is empty"}
    return f"broken record: field {field!r} {kinds.get(type(value).__name__, 'is no text')}"
