"""JSON Lines (jsonlines.org): one object per line. A record's number is its line number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from data.sources.readers.fields import build_record, name_by_number
from data.sources.readers.lines import read_lines
from data.sources.readers.record import BrokenRecord, ReaderOptions, ReaderOutput, RecordFilter


def read_jsonl(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each line that isn't blank."""
    lines, encoding = read_lines(stream, options)
    for line in lines:
        name = name_by_number(line.number, options)
        if not line.text.strip() or (options.id_field is None and not wanted(name)):
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
