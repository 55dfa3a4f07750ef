"""The reading process: reads files that it is handed over a pipe, one at a time, and answers with what it found.

It is a process of its own because parsers written in C may crash on hostile bytes, or never end: what kills it costs the file it had, and
its memory and the processor time of each file are limited by the system. Started by `data.sources.sandbox.parser_sandbox`; ends when its pipe does.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path
from typing import IO, Any

from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import Broken, Options, Record, Wanted
from data.sources.readers.registry import READERS
from data.sources.sandbox.ipc import receive, send

MEMORY = 4 << 30
"""Bytes of address space."""


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the pipe ends."""
    _limit(resource.RLIMIT_AS, MEMORY)
    while (message := receive(requests)) is not None:
        header, body = message
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _limit(resource.RLIMIT_CPU, int(used + header["seconds"]) + 1)
        try:
            _read(header, body, answers)
        except (Unreadable, HostileArchive) as error:
            send(answers, {"kind": "unreadable"}, str(error).encode("utf-8", "replace"))
        except Exception as error:  # noqa: BLE001  # foreign parsers raise anything; it is the reason that the quarantine gives
            said = f"damaged {header['format']}: {type(error).__name__}: {error}"
            send(answers, {"kind": "unreadable"}, said[:1000].encode("utf-8", "replace"))
        else:
            send(answers, {"kind": "end"})


def _read(header: dict[str, Any], body: bytes, answers: IO[bytes]) -> None:
    with Path(header["path"]).open("rb") if header["path"] else io.BytesIO(body) as stream:
        for found in READERS[header["format"]](stream, Options(**header["options"]), _wanted(header["shard"])):
            if isinstance(found, Broken):
                send(answers, {"kind": "broken", "name": found.name}, found.reason.encode("utf-8", "replace"))
            elif isinstance(found, Record):
                told = {"kind": "record", "name": found.name, "title": found.title, "encoding": found.encoding, "address": found.address}
                send(answers, told, found.text.encode("utf-8", "replace"))


def _wanted(shard: list[Any] | None) -> Wanted:
    """Whether a record is one of the shard's; `shard`: source, file, number, count."""
    if shard is None:
        return lambda name: True
    from data.documents.schema import document_id
    from data.documents.sharding import shard_of

    source, file, number, count = shard
    return lambda name: shard_of(document_id(source, f"{file}#{name}"), count) == number


def _limit(what: int, value: int) -> None:
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (value if most == resource.RLIM_INFINITY else min(value, most), most))


if __name__ == "__main__":
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
