"""Bytes to text: which encoding a file is in, or why it is no text at all.

Guarantees: UTF-8 (with or without a mark) is recognized exactly; UTF-16 and UTF-32 by their marks. UTF-8 spoiled by a
few bytes of Windows-1252 is read byte by byte as what each part is. What is left is Windows-1252 when its high bytes are
few or lie where Western letters and quotes lie, and otherwise charset-normalizer's best guess from the first 64 KB.
Costs one pass over the bytes in C for UTF-8; about 50 ms a file where a guess is needed.
Raises NotText for binary content. It can't tell two older encodings apart that differ only in letters a text never uses.
"""

from __future__ import annotations

import codecs

SIGNATURES = (b"PK\x03\x04", b"%PDF-", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"\x7fELF", b"GIF8", b"BZh", b"\x28\xb5\x2f\xfd", b"PAR1")
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UNDEFINED_1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x0b\x1a\x1b"))
HIGH_BYTES = bytes(range(0x80, 0x100))
SAMPLE = 1 << 16


class NotText(ValueError):
    """The bytes are no text; the message says why, fit for the quarantine's reason column."""


def decode(content: bytes, encoding: str = "detect") -> tuple[str, str]:
    """Returns (text, the encoding's name). Raises NotText for empty, binary or undecodable bytes."""
    if not content.strip():
        raise NotText("empty")
    for mark, name in MARKS:
        if encoding == "detect" and content.startswith(mark):
            return _strictly(content, name)
    if any(content.startswith(signature) for signature in SIGNATURES):
        raise NotText("binary: it begins like an archive, image or program")
    controls = len(content) - len(content.translate(None, CONTROLS))
    if controls > len(content) // 100:
        raise NotText(f"binary: {controls} control bytes among {len(content)}")
    if encoding != "detect":
        return _strictly(content, encoding)
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _older(content)


def _strictly(content: bytes, name: str) -> tuple[str, str]:
    try:
        return content.decode(name), name.removesuffix("-sig")
    except (UnicodeError, LookupError) as error:
        raise NotText(f"not {name}: {error}") from error


def _older(content: bytes) -> tuple[str, str]:
    """Text that is not clean UTF-8."""
    strays = len(content) - len(content.decode("utf-8", "ignore").encode())
    high = len(content) - len(content.translate(None, HIGH_BYTES))
    if strays * 3 < high:
        return content.decode("utf-8", "folio-strays"), "utf-8+cp1252"
    undefined = len(content) - len(content.translate(None, UNDEFINED_1252))
    if undefined == 0 and high < len(content) // 8:
        return content.decode("cp1252"), "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(content[:SAMPLE]).best()
    if best is not None:
        try:
            return content.decode(best.encoding), best.encoding
        except UnicodeError:
            pass  # the sample's encoding does not hold for the whole file: the next line reads any byte
    return content.decode("cp1252", "folio-strays"), "cp1252"


def _read_strays(error: UnicodeError) -> tuple[str, int]:
    """Bytes that fit no sequence are Windows-1252, and Latin-1 where that has a gap."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    broken = error.object[error.start : error.end]
    return "".join(bytes((b,)).decode("cp1252", "ignore") or chr(b) for b in broken), error.end


# The name is the whole process's, and shards are read in several threads: so the handler keeps nothing.
codecs.register_error("folio-strays", _read_strays)
