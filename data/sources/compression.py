"""Reads gz, zst, bz2 and xz as what they are: bytes from a stranger, which may unpack to anything.

Guarantees: nothing is written to disk; what unpacks to more than RATIO_LIMIT times its packed size, or to more than TOTAL_LIMIT and
LONG_RATIO_LIMIT times that, is refused with HostileArchive while it is read, at most 32 MB too late; a truncated or damaged stream is
Unreadable where it breaks, never a silent end. Several packed parts in a row are read as one. Memory: the packer's window, 128 MB at most.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any

from data.sources.errors import HostileArchive, Unreadable
from data.sources.streams import stream_of

RATIO_LIMIT = 200
RATIO_APPLIES_FROM = 8 << 20
TOTAL_LIMIT = 4 << 30
LONG_RATIO_LIMIT = 50
ZSTD_STEP = 1 << 10
"""A block of zst is at least 4 bytes and at most 128 KB unpacked, so that a step can't give more than 32 MB."""


def refuse_bomb(what: str, unpacked: int, packed: int) -> None:
    """Go on only if so many bytes can honestly have been packed into so few. Raises HostileArchive."""
    limit = LONG_RATIO_LIMIT if unpacked > TOTAL_LIMIT else RATIO_LIMIT
    if unpacked > RATIO_APPLIES_FROM and unpacked > limit * max(packed, 1):
        raise HostileArchive(f"hostile {what}: it unpacks to more than {limit} times its size")


def unpacked(stream: IO[bytes], kind: str, packed: int) -> io.BufferedReader:
    """A packed stream opened for reading; `kind` as `content.told_by` names it, `packed`: its size in bytes.

    Reading it raises HostileArchive and Unreadable."""
    source, faults = _unpacker(stream, kind)
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

    return stream_of(read)


def _unpacker(stream: IO[bytes], kind: str) -> tuple[Callable[[int], bytes], tuple[type[Exception], ...]]:
    """What reads a packed stream, and how that fails."""
    if kind == "gz":
        return gzip.GzipFile(fileobj=stream).read, (EOFError, OSError, zlib.error)
    if kind == "bz2":
        return bz2.BZ2File(stream).read, (EOFError, OSError, ValueError)
    if kind == "xz":
        return lzma.LZMAFile(stream).read, (EOFError, OSError, lzma.LZMAError)
    from zstandard import ZstdError

    return _Zstandard(stream).read, (EOFError, OSError, ZstdError)


class _Zstandard:
    """Frames of zst, read to the end of the last; the library's own reader takes a frame that was cut off for a whole one."""

    def __init__(self, inner: IO[bytes]) -> None:
        from zstandard import ZstdDecompressor

        self._inner, self._context = inner, ZstdDecompressor()
        self._frame: Any = None
        self._held, self._rest = bytearray(), b""

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            data = self._rest or self._inner.read(ZSTD_STEP)
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("the stream ends inside a frame")
                break
            if self._frame is None:
                self._frame = self._context.decompressobj()
            self._held += self._frame.decompress(data)
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
