"""Bytes to text: which encoding a file is in, or why it is no text at all.

Guarantees: UTF-8 (with or without a mark) is recognized exactly; UTF-16 and UTF-32 by their marks, and without one where the text has
spaces or line ends. UTF-8 spoiled by a few bytes of Windows-1252 is read byte by byte as what each part is. What is left is Windows-1252
when its high bytes are few or lie where Western letters and quotes lie, Windows-1250 or ISO 8859-2 where they are the letters of Central
Europe, Shift-JIS or EUC-JP where they show kana, and otherwise charset-normalizer's best guess from the first 64 KB.
Costs one pass over the bytes in C for UTF-8; about 50 ms a file where a guess is needed.
Raises NotText for binary content. It can't tell two older encodings apart that differ only in letters a text never uses, nor Turkish or
Baltic code pages from the Western one.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from data.sources.errors import Unreadable

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
BETWEEN_CODES = bytes(range(0x80, 0xA0))
"""Letters and quotes in Windows' code pages, nothing in those of ISO 8859."""
SYMBOL_IN_WORD = re.compile("(?<=[A-Za-z\xc0-\xff])(?:[\xa3-\xbf](?=[a-z\xe0-\xff])|[\xb1\xb6](?![0-9])|\xb3(?<!m\xb3)(?![0-9]))")
KANA = re.compile("[\u3041-\u30ff]")
SAMPLE = 1 << 16


class NotText(Unreadable):
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
    if encoding == "detect" and b"\0" in content[:SAMPLE] and (wide := _wide(content[:SAMPLE])):
        return _strictly(content, wide)
    if controls > len(content) // 100 and not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")):
        raise NotText(f"binary: {controls} control bytes among {len(content)}")
    if encoding != "detect":
        return _strictly(content, encoding)
    if b"\x1b$" in content[:SAMPLE] and content.isascii():
        return _strictly(content, "iso2022_jp")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _older(content)


def _strictly(content: bytes, name: str) -> tuple[str, str]:
    try:
        return content.decode(name), name.removesuffix("-sig")
    except (UnicodeError, LookupError) as error:
        raise NotText(f"not {name}: {error}") from error


def _wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, told by what its spaces and line ends are; "" for neither.

    A character of UTF-32 has a zero byte at its end; what is read with the wrong end first is no run of ordinary characters."""
    for name, size in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        # A character may be cut in two at the sample's end.
        text = sample[: len(sample) // size * size].decode(name, "ignore")
        if len(text) * size < len(sample) - 8:
            continue
        odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f" for c in text)
        common = sum(c in " \n\u3000\u3002" for c in text)
        if odd * 200 <= len(text) <= common * 200:
            return name
    return ""


def _older(content: bytes) -> tuple[str, str]:
    """Text that is not clean UTF-8."""
    strays = len(content) - len(content.decode("utf-8", "ignore").encode())
    high = len(content) - len(content.translate(None, HIGH_BYTES))
    if strays * 3 < high:
        return content.decode("utf-8", "folio-strays"), "utf-8+cp1252"
    if high > len(content) // 3 and (japanese := _japanese(content[:SAMPLE])):
        return content.decode(japanese, "folio-strays"), japanese
    undefined = len(content) - len(content.translate(None, UNDEFINED_1252))
    if high < len(content) // 3 and _central_european(content[:SAMPLE]):
        name = "iso8859_2" if len(content) == len(content.translate(None, BETWEEN_CODES)) else "cp1250"
        return content.decode(name, "folio-strays"), name
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


def _japanese(sample: bytes) -> str:
    """The Japanese encoding in which a text has its kana, of which there are many in every text; "" for none."""
    for name in ("cp932", "euc_jp"):
        text = sample.decode(name, "replace")
        fits = text.count("\N{REPLACEMENT CHARACTER}") * 200 <= len(text)
        if fits and len(KANA.findall(text)) * 5 >= sum(c > "\x7f" for c in text):
            return name
    return ""


def _central_european(sample: bytes) -> bool:
    """Whether words have symbols inside when read as Windows-1252, or the r and e of Czech with a caron, as no Western language has."""
    western = sample.decode("cp1252", "replace")
    letters = sum(c.isalpha() for c in western if c > "\x7f")
    symbols = len(SYMBOL_IN_WORD.findall(western))
    czech = min(western.count("\N{LATIN SMALL LETTER O WITH STROKE}"), western.count("\N{LATIN SMALL LETTER I WITH GRAVE}"))
    # Signs without letters are signs, such as the numbers of footnotes.
    return 3 <= symbols <= letters * 4 <= symbols * 80 or czech * 50 >= max(letters, 100)


def _read_strays(error: UnicodeError) -> tuple[str, int]:
    """Bytes that fit no sequence are Windows-1252, and Latin-1 where that has a gap."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    broken = error.object[error.start : error.end]
    return "".join(bytes((b,)).decode("cp1252", "ignore") or chr(b) for b in broken), error.end


# The name is the whole process's, and shards are read in several threads: so the handler keeps nothing.
codecs.register_error("folio-strays", _read_strays)
