"""The parser process: reads one file after another from requests on stdin and answers with what it found.

Parsers written in C may crash on hostile bytes or never end. In a process of their own that costs only the file being read, and the system
limits its memory and the processor time of each file. `parser_sandbox` starts it; it exits when its pipe closes.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path
from typing import IO, Any

from data.documents.sharding import document_id, shard_of
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import BrokenRecord, EmbeddedFile, ReaderOptions, Record, RecordFilter
from data.sources.readers.registry import READERS
from data.sources.sandbox.ipc import receive, send

MEMORY = 4 << 30  # bytes of address space


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the pipe closes."""
    _limit(resource.RLIMIT_AS, MEMORY)
    while (message := receive(requests)) is not None:
        header, body = message
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _limit(resource.RLIMIT_CPU, int(used + header["seconds"]) + 1)
        try:
            _read(header, body, answers)
        except (Unreadable, HostileArchive) as error:
            send(answers, {"kind": "unreadable"}, str(error).encode("utf-8", "replace"))
        except Exception as error:  # noqa: BLE001  # parsers raise anything; the message becomes the quarantine reason
            reason = f"damaged {header['format']}: {type(error).__name__}: {error}"
            send(answers, {"kind": "unreadable"}, reason[:1000].encode("utf-8", "replace"))
        else:
            send(answers, {"kind": "end"})


def _read(header: dict[str, Any], body: bytes, answers: IO[bytes]) -> None:
    with Path(header["path"]).open("rb") if header["path"] else io.BytesIO(body) as stream:
        for result in READERS[header["format"]](stream, ReaderOptions(**header["options"]), _wanted(header["shard"])):
            if isinstance(result, BrokenRecord):
                send(answers, {"kind": "broken", "name": result.name}, result.reason.encode("utf-8", "replace"))
            elif isinstance(result, Record):
                answer = {"kind": "record", "name": result.name, "title": result.title, "encoding": result.encoding, "url": result.url}
                send(answers, answer, result.text.encode("utf-8", "replace"))
            elif isinstance(result, EmbeddedFile):
                send(answers, {"kind": "file", "name": result.name, "format": result.format}, result.content)


def _wanted(shard: list[Any] | None) -> RecordFilter:
    """Return a filter for the shard's records. `shard`: source, file, number, count; None: all records."""
    if shard is None:
        return lambda name: True
    source, file, number, count = shard
    return lambda name: shard_of(document_id(source, f"{file}#{name}"), count) == number


def _limit(kind: int, value: int) -> None:
    _, maximum = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if maximum == resource.RLIM_INFINITY else min(value, maximum), maximum))


if __name__ == "__main__":
    # Redirect libraries' output to stderr, away from the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
