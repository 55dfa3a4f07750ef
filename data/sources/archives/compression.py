"""Decompresses gz, zst, bz2 and xz as untrusted input.

Nothing is written to disk. A stream that unpacks to more than RATIO_LIMIT times its packed size, or to more than both TOTAL_LIMIT and
LONG_RATIO_LIMIT times its packed size, raises HostileArchive while it is read, at most 32 MB late. A truncated or damaged stream raises
Unreadable where it breaks; it never ends silently. Concatenated streams are read as one. Memory: the compressor's window, at most 128 MB.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any

from data.sources.archives.streams import stream_from
from data.sources.errors import HostileArchive, Unreadable

RATIO_LIMIT = 200
RATIO_APPLIES_FROM = 8 << 20
TOTAL_LIMIT = 4 << 30
LONG_RATIO_LIMIT = 50
ZSTD_STEP = 1 << 10
"""A zst block takes at least 4 bytes and unpacks to at most 128 KB, so one step yields at most 32 MB."""


def refuse_bomb(what: str, unpacked: int, packed: int) -> None:
    """Raise HostileArchive if honest data can't have been compressed this far."""
    limit = LONG_RATIO_LIMIT if unpacked > TOTAL_LIMIT else RATIO_LIMIT
    if unpacked > RATIO_APPLIES_FROM and unpacked > limit * max(packed, 1):
        raise HostileArchive(f"hostile {what}: it unpacks to more than {limit} times its size")


def decompress(stream: IO[bytes], kind: str, packed: int) -> io.BufferedReader:
    """Return the decompressed stream. `kind`: a compression that `detect_type` returns; `packed`: its compressed size in bytes.

    Reading it raises HostileArchive and Unreadable."""
    source, faults = _decompressor(stream, kind)
    size = 0

    def read(wanted: int) -> bytes:
        nonlocal size
        try:
            data = source(wanted)
        except faults as error:
            raise Unreadable(f"damaged {kind}: after {size} bytes: {error}") from error
        size += len(data)
        refuse_bomb(kind, size, packed)
        return data

    return stream_from(read)


def _decompressor(stream: IO[bytes], kind: str) -> tuple[Callable[[int], bytes], tuple[type[Exception], ...]]:
    """Return a read function and the errors it raises for damaged input."""
    if kind == "gz":
        return gzip.GzipFile(fileobj=stream).read, (EOFError, OSError, zlib.error)
    if kind == "bz2":
        return bz2.BZ2File(stream).read, (EOFError, OSError, ValueError)
    if kind == "xz":
        return lzma.LZMAFile(stream).read, (EOFError, OSError, lzma.LZMAError)
    from zstandard import ZstdError

    return _Zstandard(stream).read, (EOFError, OSError, ZstdError)


class _Zstandard:
    """Reads zst frames to the end of the last. The library's own reader accepts a truncated frame as complete."""

    def __init__(self, inner: IO[bytes]) -> None:
        from zstandard import ZstdDecompressor

        self._inner, self._context = inner, ZstdDecompressor()
        self._frame: Any = None
        self._ready, self._rest = bytearray(), b""

    def read(self, size: int) -> bytes:
        while len(self._ready) < size:
            data = self._rest or self._inner.read(ZSTD_STEP)
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("the stream ends inside a frame")
                break
            if self._frame is None:
                self._frame = self._context.decompressobj()
            self._ready += self._frame.decompress(data)
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken
