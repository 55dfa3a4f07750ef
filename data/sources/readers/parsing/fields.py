"""Records with named fields: choose the text, the name and the title."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from data.sources.decode import is_blank
from data.sources.errors import Unreadable
from data.sources.readers.parsing.record import BrokenRecord, ReaderOptions, Record, RecordFilter


def build_record(
    fields: Mapping[str, object], number: int, options: ReaderOptions, wanted: RecordFilter, encoding: str = ""
) -> Record | BrokenRecord | None:
    """Return a row's record, or what is wrong with it; None if it isn't wanted. `number` names it unless `id_field` does."""
    name = name_by_number(number, options)
    if options.id_field is not None:
        value = field_value(fields, options.id_field)
        if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value).strip():
            return BrokenRecord(_broken(options.id_field, value), name) if wanted(name) else None
        name = str(value)
    if not wanted(name):
        return None
    if options.whole:
        try:
            text: object = json.dumps(fields, ensure_ascii=False, default=_plain_number)
        except (TypeError, ValueError) as error:
            return BrokenRecord(f"broken record: {error}", name)
    else:
        text = field_value(fields, options.text_field)
    title = field_value(fields, options.title_field) if options.title_field is not None else None
    if not isinstance(text, str):
        return BrokenRecord(_broken(options.text_field, text), name)
    if is_blank(text):
        return BrokenRecord("empty", name)
    if len(text) > options.limit:
        return BrokenRecord(f"too large: {len(text)} characters, the limit is {options.limit}", name)
    return Record(text, name, title if isinstance(title, str) else "", encoding)


def field_value(fields: Mapping[str, object], name: str) -> object:
    """Return a field's value, None if there is none. A field called `doc.text` wins over the field `text` of an object `doc`."""
    if name in fields:
        return fields[name]
    outer, period, inner = name.partition(".")
    value = fields.get(outer)
    return field_value(value, inner) if period and isinstance(value, Mapping) else None


def name_by_number(number: int, options: ReaderOptions) -> str:
    """Return the name of a record that its own field doesn't name."""
    return str(number) if options.id_field is None else f"record {number}"


def require_columns(columns: list[str], options: ReaderOptions) -> None:
    """Raise Unreadable, naming the missing and the present columns, unless a table has those that the recipe names."""
    text_field = None if options.whole else options.text_field
    needed = [name for name in (text_field, options.id_field, options.title_field) if name is not None]
    if missing := [name for name in needed if name not in columns and name.partition(".")[0] not in columns]:
        raise Unreadable(f"no such column: {', '.join(missing)}; it has {', '.join(columns)[:500]}")


def _plain_number(value: object) -> float:
    """Return a decimal fraction as JSON writes it. Raise TypeError for what JSON has no form of."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _broken(field: str, value: object) -> str:
    kinds = {"NoneType": "is missing", "dict": "is an object", "list": "is a list", "bool": "is a truth value", "str": "is empty"}
    return f"broken record: field {field!r} {kinds.get(type(value).__name__, 'is not text')}"
