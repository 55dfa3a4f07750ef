"""JSON Lines: an object a line (jsonlines.org). The number of a record is that of its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from data.sources.readers.fields import numbered, record_of
from data.sources.readers.lines import lines_of
from data.sources.readers.record import Broken, Found, Options, Wanted


def read_jsonl(stream: IO[bytes], options: Options, wanted: Wanted) -> Iterator[Found]:
    """A record a line that isn't blank."""
    lines, encoding = lines_of(stream, options)
    for line in lines:
        name = numbered(line.number, options)
        if not line.text.strip() or (options.id_field is None and not wanted(name)):
            continue
        fault, value = line.fault, None
        if not fault:
            try:
                value = json.loads(line.text)
            except RecursionError:
                fault = "broken record: nested too deeply"
            except ValueError as error:
                fault = f"broken record: no JSON: {error}"
        if not fault and not isinstance(value, dict):
            fault = "broken record: no JSON object"
        if fault:
            if wanted(name):
                yield Broken(fault, name)
        elif isinstance(value, dict) and (found := record_of(value, line.number, options, wanted, encoding)):
            yield found
