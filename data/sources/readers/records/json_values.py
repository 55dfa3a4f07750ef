"""JSON files: the objects of an array, or objects one after another, each a record numbered from 1. Read as a stream by ijson."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import IO

from data.sources.archives.streams import stream_from
from data.sources.decode import BYTE_ORDER_MARKS
from data.sources.errors import Unreadable
from data.sources.readers.parsing.fields import build_record, name_by_number
from data.sources.readers.parsing.record import BrokenRecord, ReaderOptions, ReaderOutput, RecordFilter

BLOCK = 1 << 16


def read_json(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each object. Raise Unreadable if the file is not JSON, or is cut off."""
    import ijson

    head = stream.read(BLOCK)
    head = next((head[len(mark) :] for mark, name in BYTE_ORDER_MARKS if name == "utf-8-sig" and head.startswith(mark)), head)
    rest = [head]
    rejoined = stream_from(lambda size: rest.pop() if rest else stream.read(min(size, BLOCK)))
    array = head.lstrip().startswith(b"[")
    number = 0
    try:
        for value in ijson.items(rejoined, "item" if array else "", multiple_values=not array):
            number += 1
            if not isinstance(value, dict):
                name = name_by_number(number, options)
                if wanted(name):
                    kind = "float" if isinstance(value, Decimal) else type(value).__name__
                    yield BrokenRecord(f"broken record: not a JSON object but a {kind}", name)
            elif found := build_record(value, number, options, wanted, "utf-8"):
                yield found
    except (ijson.JSONError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"damaged json: after record {number}: {error}") from error
    if not number:
        raise Unreadable("empty: no object")
