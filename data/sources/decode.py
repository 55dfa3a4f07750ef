"""Detect a file's type and encoding from its bytes, and decode text, or say why it is not text.

UTF-8 is recognized exactly, with or without a byte order mark; UTF-16 and UTF-32 by their mark, or without one if the text has spaces or
line ends. UTF-8 with a few stray bytes of Windows-1252 is read as a mixture. Any other text is what chardet, a statistical detector, says
of the lines that aren't ASCII, 64 KB of them; where one encoding contains another, the larger is named, and where
it isn't confident, Windows-1252.

Costs one pass in C for UTF-8 and a few ms per file where a guess is needed. Binary content raises NotText. Two legacy encodings that differ
only in letters a text doesn't use can't be told apart.

Detects a file's type from its first bytes, and decides in which format to read it.

Formats, compressions and archives with a signature are recognized under any file name; formats of XML by their root element. Text
formats without one (txt, md, jsonl, csv, tex, subtitles and their like) and documents that are zips (docx, odt) are told apart by name
alone. Signatures are from RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 formats, APPNOTE (zip), POSIX ustar,
ISO 32000 (PDF), the EPUB container, Apache Parquet, ISO 28500 (WARC) and WHATWG MIME sniffing (HTML).
"""

from __future__ import annotations

import codecs
import re
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from data.sources.errors import Unreadable
from data.sources.formats import XML, ZIPPED, NamedType

SIGNATURES = (b"PK\x03\x04", b"%PDF-", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"\x7fELF", b"GIF8", b"BZh", b"\x28\xb5\x2f\xfd", b"PAR1")
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x0b\x1a\x1b"))
HIGH_BYTES = bytes(range(0x80, 0x100))
HIGH_BYTE = re.compile(rb"[\x80-\xff]")
LINE = 4096  # bytes of a line that are looked at on either side of a byte above ASCII
# Encodings of Asian letters in ASCII bytes, and what each begins them with.
ESCAPED = {b"\x1b$": ("iso2022_jp", "iso2022_kr"), b"~{": ("hz",)}
MIXED = "utf-8+cp1252"
DOUBLE = frozenset({"gb18030", "gbk", "gb2312", "big5", "big5hkscs", "cp949", "euc_kr", "cp932", "shift_jis", "euc_jp"})
# What WHATWG's Encoding standard reads under a label where Python's codec of that name covers less.
WIDER_CODECS = {
    "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252", "iso-8859-9": "cp1254", "shift_jis": "cp932",
    "gb2312": "gb18030", "gbk": "gb18030", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "big5": "big5hkscs", "tis-620": "cp874",
}  # fmt: skip
CONFIDENT = 0.1  # right guesses of whole sentences in 30 languages are above 0.2, guesses from punctuation alone below 0.07
SAMPLE = 1 << 16
LATIN = ("cp1252", "cp1250", "iso8859-2", "cp1257", "cp1254")
# Letters above ASCII: French, German, Spanish and Portuguese, Italian, the North, Iceland; Czech and Slovak, Polish, Hungarian, Romanian,
# those of Croatia and Slovenia; Lithuanian, Latvian, Estonian; Turkish.
ALPHABETS = tuple(
    map(
        frozenset,
        ("àâæçéèêëîïôœùûüÿ", "äöüßéàè", "áéíóúüñãâàçêôõ", "àèéìíîòóùú", "æøåäöéèüáó", "áéíóúýþðæö", "áčďéěíňóřšťúůýžäĺľôŕöü",
         "ąćęłńóśźżéöü", "áéíóöőúüűä", "ăâîșțşţé", "čćđšžéö", "ąčęėįšųūž", "āčēģīķļņšūžōŗ", "äõöüšž", "çğıöşüâîûi̇"),
    )
)  # fmt: skip
PUNCTUATION = re.compile("[\xa0«»§°·¡¿“”„‘’‚‹›–—…•†‡€©®™]")
FEWEST_LETTERS, FOREIGN = 4, 0.2  # different letters that tell; the share at which the likeliest encoding is not it


FEW = 8  # bytes above ASCII that may be UTF-8 by chance
# Letters and symbols in a row, some above ASCII; quotes, dashes and spaces part words.
ODD_WORD = re.compile(r"[^\x00-\x40\x5b-\x60\x7b-\xa1\xab\xad\xb7\xbb\xbf\u2000-\u206f\u3000-\u303f\uff00-\uffef\s]{2,}")
# By their own encodings texts in 17 languages are at 0.00; by one of another script at 0.15 and more, often at 1.
ODD, ODD_SAMPLE = 0.14, 1 << 18


BLANK = re.compile("[\\s\ufeff\u200b\u2060]*\\Z")  # space, byte order marks, and other characters that show nothing


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing."""
    return BLANK.match(text) is not None


class NotText(Unreadable):
    """The bytes are not text; the message becomes the quarantine reason."""


class Decoded(NamedTuple):
    """A text, the name of its encoding, and how many bytes of a letter stand at its end whose other bytes are missing."""

    text: str
    encoding: str
    cut: int = 0


def decode(content: bytes, encoding: str = "detect") -> tuple[str, str]:
    """Return (text, name of the encoding). Raise NotText for empty, binary or undecodable bytes."""
    return decode_counted(content, encoding)[:2]


def decode_counted(content: bytes, encoding: str = "detect") -> Decoded:
    """Do as `decode`, and count the bytes of a letter that the end cuts in two."""
    found = _decode(content, encoding)
    if is_blank(found.text):
        raise NotText("empty")
    return found


def _decode(content: bytes, encoding: str) -> Decoded:
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
    if encoding == "detect" and (escaped := detect_escaped(content)):
        return _decode_strictly(content, escaped)
    if controls > len(content) // 100 and not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")):
        raise NotText(f"binary: {controls} control bytes among {len(content)}")
    if encoding != "detect":
        return _decode_strictly(content, encoding)
    try:
        text, cut = decode_up_to_cut(content, "utf-8")
    except UnicodeDecodeError:
        return _decode_legacy(content)
    # One byte behind plain ASCII is a letter of an older encoding rather than a third of one in UTF-8.
    return _decode_legacy(content) if cut == 1 and text.isascii() else Decoded(text, "utf-8", cut)


def decode_up_to_cut(content: bytes, name: str, errors: str = "strict") -> tuple[str, int]:
    """Return the text, and the number of bytes at its end that begin a letter which is not all there."""
    decoder = codecs.getincrementaldecoder(name)(errors)
    text = decoder.decode(content)
    return text, len(decoder.getstate()[0])


def decode_labelled(content: bytes, labels: Sequence[str]) -> Decoded:
    """Decode by the first label that fits the bytes and gives words of a script, and else by the bytes alone. Raise NotText.

    Servers label pages by habit: UTF-8 that holds more than a few letters above ASCII is read as that under any label, and a label that
    makes words of Latin and Cyrillic letters, or of accents alone, counts only if the bytes tell of nothing better."""
    if content.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return decode_counted(content)
    if escaped := detect_escaped(content):
        return _decode_strictly(content, escaped)
    for label in ("utf-8", *(label.lower() for label in labels)):
        codec = WIDER_CODECS.get(label, label)
        # A page whose label is readable as ASCII can't be UTF-16.
        if not codec or codec.startswith("utf-16") or (label == "utf-8" and label not in labels and high_bytes(content) <= FEW):
            continue
        try:
            text, cut = decode_up_to_cut(content, codec)
        except (UnicodeError, LookupError):
            continue
        if codec == "utf-8" or oddity(text) < ODD or is_blank(text):
            return Decoded(text, codec, cut)
    return decode_counted(content)


def oddity(text: str) -> float:
    """Return which share of the letters above ASCII don't go together with their neighbours, or 1 if most of them are capitals."""
    pairs = odd = capitals = small = 0
    for word in ODD_WORD.findall(text[:ODD_SAMPLE]):
        for one, other in () if word.isascii() else pairwise(word):
            if one.isascii() and other.isascii():
                continue
            pairs += 1
            scripts = {_script(one), _script(other)}
            accents = scripts == {"LATIN"} and not one.isascii() and not other.isascii()
            odd += len(scripts) > 1 or scripts == {""} or accents or (one.islower() and other.isupper())
            capitals += other.isupper() and not other.isascii()
            small += other.islower() and not other.isascii()
    return 1.0 if capitals > small else odd / pairs if pairs else 0.0


def _script(letter: str) -> str:
    """Return the script of a letter or of a mark over it, "" for a symbol."""
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "").partition(" ")[0] if unicodedata.category(letter)[0] in "LM" else ""
    return "CJK" if name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "IDEOGRAPHIC") else name


def _decode_strictly(content: bytes, name: str) -> Decoded:
    try:
        text, cut = decode_up_to_cut(content, name)
        # A byte order mark is not part of the text, but the codec keeps it.
        marked = codecs.lookup(name).name in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
        return Decoded(text.removeprefix("\ufeff") if marked else text, name.removesuffix("-sig"), cut)
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


def detect_escaped(content: bytes) -> str:
    """Return the encoding of text that writes Asian letters as ASCII bytes, "" for none."""
    candidates = {name: content.find(mark) for mark, names in ESCAPED.items() if mark in content for name in names}
    if not candidates or not content.isascii():
        return ""
    # The first of them may stand behind a hundred pages of English.
    begin = min(candidates.values())
    found = _guess(content[content.rfind(b"\n", 0, begin) + 1 :][:SAMPLE])
    return found if found in candidates else ""


def _decode_legacy(content: bytes) -> Decoded:
    """Decode text that is not clean UTF-8."""
    name = legacy_encoding(content)
    text, cut = decode_up_to_cut(content, name.partition("+")[0], "folio-strays")
    return Decoded(text, name, cut)


def legacy_encoding(content: bytes) -> str:
    """Return the likeliest encoding of text that is not clean UTF-8; MIXED for UTF-8 with a few stray bytes."""
    strays = len(content) - len(content.decode("utf-8", "ignore").encode())
    return MIXED if strays * 3 < high_bytes(content) else _guess(_foreign_lines(content))


def encoding_of_lines(sample: bytes) -> str:
    """Return the likeliest encoding of those lines that are not UTF-8, "" if all are. The sample may end inside a line."""
    found = list[bytes]()
    for line in sample.splitlines(True):
        try:
            decode_up_to_cut(line, "utf-8")
        except UnicodeDecodeError:
            found.append(line)
    return _guess(_foreign_lines(b"".join(found))) if found else ""


def high_bytes(content: bytes) -> int:
    """Return how many bytes are above ASCII."""
    return len(content) - len(content.translate(None, HIGH_BYTES))


def _foreign_lines(content: bytes) -> bytes:
    """Return the lines with bytes above ASCII, at most 64 KB: a book may have its first after a hundred pages."""
    found, size, read = list[bytes](), 0, 0
    while size < SAMPLE and (high := HIGH_BYTE.search(content, read)):
        at = high.start()
        start = max(read, at - LINE, content.rfind(b"\n", max(read, at - LINE), at) + 1)
        end = content.find(b"\n", at, at + LINE)
        read = end + 1 if end >= 0 else min(at + LINE, len(content))
        found.append(content[start:read])
        size += read - start
    return b"".join(found)


def _guess(sample: bytes) -> str:
    """Return Python's name of the likeliest encoding."""
    import chardet

    found = chardet.detect(sample)
    # Quotes and dashes alone say nothing of a language.
    label = (found["encoding"] or "cp1252").lower() if found["confidence"] >= CONFIDENT else "cp1252"
    try:
        name = codecs.lookup(WIDER_CODECS.get(label, label)).name
    except LookupError:
        name = "cp1252"
    return _by_letters(sample, name) if name in LATIN else name


def _by_letters(sample: bytes, name: str) -> str:
    """Return the encoding of Latin letters by which a text has those of one language, if by the likeliest it has those of none.

    The detector knows languages by their pairs of letters, of which a sentence has few."""
    found = {one: _foreign(sample.decode(one, "replace")) for one in LATIN}
    best = min(LATIN, key=lambda one: (found[one], one != name))
    return best if found[name] >= FOREIGN and found[best] == 0 else name


def _foreign(text: str) -> float:
    """Return which share of the letters above ASCII is in no alphabet of Europe, by the alphabet that has most of them."""
    letters = Counter(sign for sign in text.lower() if not sign.isascii() and not PUNCTUATION.match(sign))
    if len(letters) < FEWEST_LETTERS:
        return 0.0
    return min(sum(times for letter, times in letters.items() if letter not in one) for one in ALPHABETS) / letters.total()


def _decode_strays(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes outside any UTF-8 sequence as Windows-1252, or as Latin-1 where that has a gap."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    broken = error.object[error.start : error.end]
    return "".join(bytes((b,)).decode("cp1252", "ignore") or chr(b) for b in broken), error.end


# The handler is registered for the whole process and shards are read in several threads, so it keeps no state.
codecs.register_error("folio-strays", _decode_strays)


HEAD = 4096  # how many bytes are examined
COMPRESSIONS = ("gz", "zst", "bz2", "xz")
ARCHIVE_KINDS = ("zip", "tar")
# The repetitions are possessive: which comment ends where is never tried again, or many comments would take for ever.
HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*+<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
XML_ROOT = re.compile(
    rb"\s*<\?xml[^>]*>\s*(?:<!--.*?-->\s*|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>\s*|<\?[^>]*>\s*)*+<(?:[\w.-]+:)?([\w.-]+)"
    rb"|\s*(?:<!--.*?-->\s*|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>\s*)*+<(mediawiki|TEI(?:\.2)?|teiCorpus|FictionBook)\b",
    re.DOTALL,
)
MAILBOX = re.compile(rb"From \S.*\d{4}\r?\n[!-9;-~]+: ")
TEXTS = frozenset({"txt", "md", "html", "jsonl", "csv", "tex", "ipynb", "subtitles", "code", "json", "mbox"})
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def detect_type(head: bytes) -> str:
    """Return a compression, an archive or a format; "xml" for XML of another kind, "" for text and for unknown content."""
    signatures = {b"\x1f\x8b\x08": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"PAR1": "parquet"}
    signatures |= {b"{\\rtf": "rtf"}
    signatures |= {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"WARC/": "warc"}
    found = next((kind for signature, kind in signatures.items() if head.startswith(signature)), "")
    if found == "zip" and head[30:58] == b"mimetypeapplication/epub+zip":
        return "epub"
    if found:
        return found
    if BZIP2.match(head):
        return "bz2"
    if head[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    if _is_tar(head):
        return "tar"
    page = head.replace(b"\0", b"") if head.startswith(UTF16_BOMS) else head
    page = page.lstrip(b"\xef\xbb\xbf\xff\xfe")
    if HTML.match(page):
        return "html"
    if MAILBOX.match(page):
        return "mbox"
    root = XML_ROOT.match(page)
    if root:
        return XML.get(root[1] or root[2], "xml")
    return "xml" if page.startswith(b"<?xml") else ""


def choose_format(detected: str, by_name: NamedType, formats: tuple[str, ...]) -> str:
    """Return the format to read a file in. `detected`: its type by its bytes. Raise Unreadable if it isn't among `formats`."""
    if detected == "zip" and by_name.format in ZIPPED:
        detected = by_name.format
    if detected == "xml":
        detected = by_name.format if by_name.format in TEXTS else detected
    if detected == "mbox" and by_name.format:
        detected = by_name.format
    name_says = by_name.format or ("an archive" if by_name.archive else "")
    if not detected:
        detected = by_name.format if by_name.format in TEXTS else "txt"
        if by_name.format == "warc":
            raise Unreadable("wrong extension: warc by its name, but its bytes don't begin as a WARC record")
    if detected not in formats:
        also = f", {name_says} by its name" if name_says and name_says != detected else ""
        raise Unreadable(f"not asked for: {detected} by its bytes{also}; {detected} is not among `formats`, {', '.join(formats)}")
    return detected


def _is_tar(head: bytes) -> bool:
    if head[257:262] == b"ustar":
        return True
    try:
        # A tar from before 1988 has no signature, but its header has a checksum.
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True
