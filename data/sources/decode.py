"""Decodes bytes: detects a file's encoding, or says why it is no text.

UTF-8 is recognized exactly, with or without a byte order mark; UTF-16 and UTF-32 by their mark, or without one if the text has spaces or
line ends. UTF-8 with a few stray bytes of Windows-1252 is read as a mixture. Other text is Windows-1252 if its high bytes are few or are
Western letters and quotes, Windows-1250 or ISO 8859-2 if they are Central European letters, Shift-JIS or EUC-JP if they decode to kana, and
otherwise charset-normalizer's best guess from the first 64 KB.

Costs one pass in C for UTF-8 and about 50 ms per file where a guess is needed. Binary content raises NotText. Two legacy encodings that
differ only in letters a text doesn't use can't be told apart, nor can Turkish or Baltic code pages from the Western one.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from data.sources.errors import Unreadable

SIGNATURES = (b"PK\x03\x04", b"%PDF-", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"\x7fELF", b"GIF8", b"BZh", b"\x28\xb5\x2f\xfd", b"PAR1")
BYTE_ORDER_MARKS = (
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
"""Letters and quotes in Windows code pages, unused in ISO 8859."""
SYMBOL_IN_WORD = re.compile("(?<=[A-Za-z\xc0-\xff])(?:[\xa3-\xbf](?=[a-z\xe0-\xff])|[\xb1\xb6](?![0-9])|\xb3(?<!m\xb3)(?![0-9]))")
KANA = re.compile("[\u3041-\u30ff]")
WIDER_CODECS = {
    "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252", "iso-8859-9": "cp1254", "shift_jis": "cp932",
    "gb2312": "gb18030", "gbk": "gb18030", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "big5": "big5hkscs", "tis-620": "cp874",
}  # fmt: skip
"""What WHATWG's Encoding standard reads under a label where Python's codec of that name covers less."""
SAMPLE = 1 << 16


BLANK = re.compile("[\\s\ufeff\u200b\u2060]*\\Z")
"""Space, byte order marks, and other characters that show nothing."""


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing."""
    return BLANK.match(text) is not None


class NotText(Unreadable):
    """The bytes are no text; the message becomes the quarantine reason."""


def decode(content: bytes, encoding: str = "detect") -> tuple[str, str]:
    """Return (text, name of the encoding). Raise NotText for empty, binary or undecodable bytes."""
    text, name = _decode(content, encoding)
    if is_blank(text):
        raise NotText("empty")
    return text, name


def _decode(content: bytes, encoding: str) -> tuple[str, str]:
    if not content.strip():
        raise NotText("empty")
    for mark, name in BYTE_ORDER_MARKS:
        if encoding == "detect" and content.startswith(mark):
            return _decode_strictly(content, name)
    if any(content.startswith(signature) for signature in SIGNATURES):
        raise NotText("binary: it begins like an archive, image or program")
    controls = len(content) - len(content.translate(None, CONTROLS))
    if encoding == "detect" and b"\0" in content[:SAMPLE] and (wide := _detect_wide(content[:SAMPLE])):
        return _decode_strictly(content, wide)
    if controls > len(content) // 100 and not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")):
        raise NotText(f"binary: {controls} control bytes among {len(content)}")
    if encoding != "detect":
        return _decode_strictly(content, encoding)
    if b"\x1b$" in content[:SAMPLE] and content.isascii():
        return _decode_strictly(content, "iso2022_jp")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _decode_legacy(content)


def _decode_strictly(content: bytes, name: str) -> tuple[str, str]:
    try:
        text = content.decode(name)
        # A mark at the beginning is no part of the text, though the codec keeps it.
        marked = codecs.lookup(name).name in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
        return text.removeprefix("\ufeff") if marked else text, name.removesuffix("-sig")
    except (UnicodeError, LookupError) as error:
        raise NotText(f"not {name}: {error}") from error


def _detect_wide(sample: bytes) -> str:
    """Return UTF-16 or UTF-32 for text without a mark, "" for neither.

    Only the right width and byte order gives ordinary characters with spaces and line ends among them."""
    for name, size in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        # The sample may end inside a character.
        text = sample[: len(sample) // size * size].decode(name, "ignore")
        if len(text) * size < len(sample) - 8:
            continue
        odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f" for c in text)
        common = sum(c in " \n\u3000\u3002" for c in text)
        if odd * 200 <= len(text) <= common * 200:
            return name
    return ""


def _decode_legacy(content: bytes) -> tuple[str, str]:
    """Decode text that is not clean UTF-8."""
    strays = len(content) - len(content.decode("utf-8", "ignore").encode())
    high = len(content) - len(content.translate(None, HIGH_BYTES))
    if strays * 3 < high:
        return content.decode("utf-8", "folio-strays"), "utf-8+cp1252"
    if high > len(content) // 3 and (japanese := _detect_japanese(content[:SAMPLE])):
        return content.decode(japanese, "folio-strays"), japanese
    undefined = len(content) - len(content.translate(None, UNDEFINED_1252))
    if high < len(content) // 3 and _is_central_european(content[:SAMPLE]):
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
            pass  # the guess fails beyond the sample; the next line can decode any byte
    return content.decode("cp1252", "folio-strays"), "cp1252"


def _detect_japanese(sample: bytes) -> str:
    """Return the Japanese encoding that gives a text many kana, as every Japanese text has; "" for none."""
    for name in ("cp932", "euc_jp"):
        text = sample.decode(name, "replace")
        fits = text.count("\N{REPLACEMENT CHARACTER}") * 200 <= len(text)
        if fits and len(KANA.findall(text)) * 5 >= sum(c > "\x7f" for c in text):
            return name
    return ""


def _is_central_european(sample: bytes) -> bool:
    """Return whether Windows-1252 would put symbols inside words, or show Czech's letters with a caron as no Western language has them."""
    western = sample.decode("cp1252", "replace")
    letters = sum(c.isalpha() for c in western if c > "\x7f")
    symbols = len(SYMBOL_IN_WORD.findall(western))
    czech = min(western.count("\N{LATIN SMALL LETTER O WITH STROKE}"), western.count("\N{LATIN SMALL LETTER I WITH GRAVE}"))
    # Symbols without letters are plain symbols, such as footnote marks.
    return 3 <= symbols <= letters * 4 <= symbols * 80 or czech * 50 >= max(letters, 100)


def _decode_strays(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes outside any UTF-8 sequence as Windows-1252, or as Latin-1 where that has a gap."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    broken = error.object[error.start : error.end]
    return "".join(bytes((b,)).decode("cp1252", "ignore") or chr(b) for b in broken), error.end


# The handler is registered for the whole process and shards are read in several threads, so it keeps no state.
codecs.register_error("folio-strays", _decode_strays)
