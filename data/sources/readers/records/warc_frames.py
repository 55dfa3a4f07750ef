"""Cuts a WARC into its records, and finds the next one behind a record that doesn't end where its length says.

A record is a header, as many bytes as its Content-Length, and an empty line before the next record or the end of the file. A record that
ends otherwise is damaged; what follows is searched for the first line of a record, so one wrong length costs one record. Memory: one
record, up to the limit of a document. Where the stream itself breaks, the records before are given first, and then its error is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from data.sources.archives.streams import buffered
from data.sources.errors import Unreadable

BLOCK = 1 << 18
HEADER = 1 << 16
LONGEST_MARK = 64
HEADER_END = re.compile(rb"\r?\n\r?\n")
LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
FIRST_LINE = re.compile(rb"\n(WARC/[0-9.]{1,8}\r?\n)")
MARK = b"WARC/"
LINE_ENDS = b"\r\n"


class WarcFrames:
    """Iterates over (record, "") and, for a record that can't be used, (b"", reason)."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = buffered(stream), limit
        self._buffer, self._ended = bytearray(), False
        self._fault: Unreadable | None = None

    def __iter__(self) -> Iterator[tuple[bytes, str]]:
        while self._skip_line_ends():
            yield self._record()
        if self._fault:
            raise self._fault

    def _record(self) -> tuple[bytes, str]:
        self._fill(HEADER)
        end = HEADER_END.search(self._buffer)
        if self._ended and end is None and (self._buffer.startswith(MARK) or MARK.startswith(self._buffer)):
            self._buffer.clear()
            return b"", "cut off: the file ends inside the header of a record"
        if not self._buffer.startswith(MARK) or end is None:
            return self._damaged("damaged record: it doesn't begin as a WARC record")
        length = LENGTH.search(self._buffer, 0, end.end())
        if length is None:
            return self._damaged("damaged record: its header has no length")
        size = int(length[1])
        if size > self._limit:
            return self._too_large(end.end(), size)
        whole = end.end() + size
        self._fill(whole + len(LINE_ENDS) * 4)
        following = bytes(self._buffer[whole : whole + LONGEST_MARK]).lstrip(LINE_ENDS)
        if len(self._buffer) >= whole and (following.startswith(MARK) or MARK.startswith(following)):
            record = bytes(self._buffer[:whole])
            del self._buffer[:whole]
            return record, ""
        missing = whole - len(self._buffer)
        if missing > 0 and not FIRST_LINE.search(self._buffer, end.end()):
            self._buffer.clear()
            return b"", f"cut off: the file ends {missing} bytes before the record does"
        return self._damaged("damaged record: it doesn't end where it says")

    def _too_large(self, begin: int, size: int) -> tuple[bytes, str]:
        """Pass over a record without keeping it. A record that begins inside it shows that the length is wrong."""
        del self._buffer[:begin]
        left = size
        while left > 0 and (self._buffer or self._fill(BLOCK)):
            self._fill(BLOCK)
            if mark := FIRST_LINE.search(self._buffer, 0, min(len(self._buffer), left)):
                del self._buffer[: mark.start(1)]
                return b"", "damaged record: it doesn't end where it says"
            passed = min(left, max(1, len(self._buffer) - LONGEST_MARK))
            del self._buffer[:passed]
            left -= passed
        if left > 0:
            return b"", f"cut off: the file ends {left} bytes before the record does"
        return b"", f"too large: {size} bytes, the limit is {self._limit}"

    def _damaged(self, fault: str) -> tuple[bytes, str]:
        """Drop everything before the next record's first line."""
        begin = 1
        while True:
            if mark := FIRST_LINE.search(self._buffer, begin):
                del self._buffer[: mark.start(1)]
                return b"", fault
            del self._buffer[: max(0, len(self._buffer) - LONGEST_MARK)]
            begin, size = 0, len(self._buffer)
            if not self._fill(size + BLOCK):
                self._buffer.clear()
                return b"", fault

    def _skip_line_ends(self) -> bool:
        """Return whether something follows."""
        while True:
            self._fill(LONGEST_MARK)
            kept = self._buffer.lstrip(LINE_ENDS)
            if kept or not self._buffer:
                del self._buffer[: len(self._buffer) - len(kept)]
                return bool(kept)
            self._buffer.clear()

    def _fill(self, size: int) -> bool:
        """Read until the buffer holds `size` bytes or the stream ends; return whether anything was read."""
        before = len(self._buffer)
        while not self._ended and len(self._buffer) < size:
            try:
                # A single read of the underlying stream, which keeps the bytes before a fault.
                block = self._stream.read1(BLOCK)
            except Unreadable as error:
                block, self._fault = b"", error
            self._ended = not block
            self._buffer += block
        return len(self._buffer) > before
