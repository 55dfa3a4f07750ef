"""Decompresses gz, zst, bz2 and xz as untrusted input.

Nothing is written to disk. A stream that unpacks to more than RATIO_LIMIT times its packed size, or to more than both TOTAL_LIMIT and
LONG_RATIO_LIMIT times its packed size, raises HostileArchive while it is read, at most 32 MB late. A truncated or damaged stream raises
Unreadable where it breaks; it never ends silently. Concatenated streams are read as one, and what follows the last of them is reported to
the caller and not read. Memory: the compressor's window, at most 128 MB."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

from data.sources.errors import HostileArchive, Unreadable

BUFFER = 1 << 16


class _RawReader(io.RawIOBase):
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def stream_from(read: Callable[[int], bytes]) -> io.BufferedReader:
    """Return a buffered stream over `read`, which takes a maximum size and returns b"" at the end."""
    return io.BufferedReader(_RawReader(read), BUFFER)


def buffered(stream: IO[bytes]) -> io.BufferedReader:
    """Return the stream itself if it supports `peek`, else a buffered one over it."""
    return stream if isinstance(stream, io.BufferedReader) else stream_from(cast(Callable[[int], bytes], stream.read))


RATIO_LIMIT = 200
RATIO_APPLIES_FROM = 8 << 20
TOTAL_LIMIT = 4 << 30
LONG_RATIO_LIMIT = 50
HEAD, STEP = 8, 1 << 16
ZSTD_STEP = 1 << 10  # a zst block takes at least 4 bytes and unpacks to at most 128 KB, so one step yields at most 32 MB


def refuse_bomb(what: str, unpacked: int, packed: int) -> None:
    """Raise HostileArchive if honest data can't have been compressed this far."""
    limit = LONG_RATIO_LIMIT if unpacked > TOTAL_LIMIT else RATIO_LIMIT
    if unpacked > RATIO_APPLIES_FROM and unpacked > limit * max(packed, 1):
        raise HostileArchive(f"hostile {what}: it unpacks to more than {limit} times its size")


class UnpackedTotal:
    """Counts what a file unpacks to through all levels of what is packed inside it. `packed`: its size on disk."""

    def __init__(self, packed: int) -> None:
        self.packed, self._unpacked = packed, 0

    def add(self, size: int) -> None:
        """Count unpacked bytes. Raise HostileArchive if honest data can't have been compressed this far."""
        self._unpacked += size
        refuse_bomb("archive", self._unpacked, self.packed)


def decompress(
    stream: IO[bytes], kind: str, packed: int, at_end: Callable[[str], None] | None = None, total: UnpackedTotal | None = None
) -> io.BufferedReader:
    """Return the decompressed stream. `kind`: a compression that `detect_type` returns; `packed`: its compressed size in bytes.

    `at_end` is told of bytes behind the last stream; `total`: of the archive it is in. Reading raises HostileArchive and Unreadable."""
    codec = _codec(kind)
    source = _Members(stream, codec, kind, at_end)
    size = 0

    def read(wanted: int) -> bytes:
        nonlocal size
        try:
            data = source.read(wanted)
        except codec.faults as error:
            raise Unreadable(f"damaged {kind}: after {size} bytes: {error}") from error
        size += len(data)
        refuse_bomb(kind, size, packed)
        if total is not None:
            total.add(len(data))
        return data

    return stream_from(read)


class _Codec(NamedTuple):
    """One compression: how its streams begin, what decompresses one, and how much to feed it at a time."""

    begins: Callable[[bytes], bool]
    open: Callable[[], Any]
    faults: tuple[type[Exception], ...]
    step: int
    padded: bool = False


def _codec(kind: str) -> _Codec:
    if kind == "gz":
        return _Codec(lambda head: head.startswith(b"\x1f\x8b"), _Gzip, (EOFError, OSError, zlib.error), STEP, padded=True)
    if kind == "bz2":
        return _Codec(lambda head: head.startswith(b"BZh"), bz2.BZ2Decompressor, (EOFError, OSError, ValueError), STEP)
    if kind == "xz":
        return _Codec(
            lambda head: head.startswith(b"\xfd7zXZ"), lzma.LZMADecompressor, (EOFError, OSError, lzma.LZMAError), STEP, padded=True
        )
    from zstandard import ZstdDecompressor, ZstdError

    # The second pattern is a skippable frame.
    return _Codec(
        lambda head: head.startswith(b"\x28\xb5\x2f\xfd") or head[1:4] == b"\x2a\x4d\x18",
        lambda: _Zstandard(ZstdDecompressor().decompressobj()),
        (EOFError, OSError, ZstdError),
        ZSTD_STEP,
    )


class _Members:
    """Reads concatenated compressed streams to the end of the last."""

    def __init__(self, inner: IO[bytes], codec: _Codec, kind: str, at_end: Callable[[str], None] | None) -> None:
        self._inner, self._codec, self._kind, self._at_end = inner, codec, kind, at_end
        self._member: Any = None
        self._rest, self._began, self._done = b"", False, False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        while not self._done and (self._member is not None or self._begin()):
            member = self._member
            data = self._rest
            if member.needs_input and not data:
                data = self._inner.read(self._codec.step)
                if not data:
                    raise EOFError("the stream is cut off")
            self._rest = b""
            found: bytes = member.decompress(data, size)
            if member.eof:
                self._rest, self._member = member.unused_data, None
            if found:
                return found
        return b""

    def _begin(self) -> bool:
        """Open the next stream. Report what is there instead, and return False, if it begins like none."""
        while len(self._rest) < HEAD and (more := self._inner.read(HEAD)):
            self._rest += more
            if self._codec.padded and self._began:
                self._rest = self._rest.lstrip(b"\0")
        if self._codec.padded and self._began:
            self._rest = self._rest.lstrip(b"\0")
        if not self._rest or (self._began and not self._codec.begins(self._rest)):
            size = len(self._rest)
            while more := self._inner.read(STEP):
                size += len(more)
            if size and self._at_end:
                self._at_end(f"behind the end: {size} bytes follow the last {self._kind} stream; they were not read")
            self._done = True
            return False
        self._began, self._member = True, self._codec.open()
        return True


class _Gzip:
    """zlib's decompressor of a gzip member, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, size: int) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, size)
        # A full answer may have more behind it, without any input.
        self.needs_input = not self._inner.unconsumed_tail and len(found) < size
        return found


class _Zstandard:
    """A zst frame, with the interface of the others. The library's own reader accepts a truncated frame as complete."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._ready, self.needs_input = inner, bytearray(), True

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof) and not self._ready

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, size: int) -> bytes:
        if data:
            self._ready += self._inner.decompress(data)
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        self.needs_input = not self._ready and not self._inner.eof
        return taken
