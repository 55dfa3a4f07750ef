"""JSON Lines (jsonlines.org): one object per line. A record's number is its line number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from data.sources.errors import Unreadable
from data.sources.readers.parsing.fields import build_record, name_by_number
from data.sources.readers.parsing.lines import read_lines
from data.sources.readers.parsing.record import BrokenRecord, ReaderOptions, ReaderOutput, RecordFilter


def read_jsonl(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each line that isn't blank. Raise Unreadable if there is none."""
    lines, encoding = read_lines(stream, options)
    found_any = False
    for line in lines:
        name = name_by_number(line.number, options)
        if not line.text.strip():
            continue
        found_any = True
        if options.id_field is None and not wanted(name):
            continue
        fault, value = line.fault, None
        if not fault:
            try:
                value = json.loads(line.text)
            except RecursionError:
                fault = "broken record: nested too deeply"
            except ValueError as error:
                fault = f"broken record: not JSON: {error}"
        if not fault and not isinstance(value, dict):
            fault = "broken record: not a JSON object"
        if fault:
            if wanted(name):
                yield BrokenRecord(fault, name)
        elif isinstance(value, dict) and (found := build_record(value, line.number, options, wanted, encoding)):
            yield found
    if not found_any:
        raise Unreadable("empty: no line but blank ones")
