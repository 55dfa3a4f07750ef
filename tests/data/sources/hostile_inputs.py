"""A thousand damaged or hostile inputs, made from a seed: {name: bytes}.

Most are valid files damaged in one of eight ways; the others are built by hand, each to do one kind of harm.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.data.sources.material import (
    ARCHIVERS,
    CONTAINER,
    PACKERS,
    chapter,
    epub,
    jsonl,
    locked_pdf,
    page,
    pdf,
    prose,
    separated,
    table,
    tarred,
    warc,
    zipped,
)

ROWS = [{"text": prose(f"row {number}"), "key": number} for number in range(6)]
HONEST: dict[str, bytes] = {
    "txt": prose("plain").encode(),
    "md": f"# Head\n\n{prose('marked')}\n\n- a\n- b\n\n```\ncode\n```\n".encode(),
    "html": page("web").encode(),
    "epub": epub({"one": chapter(prose("one")), "two": chapter(prose("two"))}),
    "pdf": pdf([prose("page").replace("\n", " ")[:80], "More."]),
    "jsonl": jsonl(ROWS),
    "csv": separated(ROWS),
    "tsv": separated(ROWS, "\t"),
    "parquet": table(ROWS),
    "warc": warc([("text/html", page("web").encode()), ("text/plain", prose("note").encode())]),
}
FILES = Path(__file__).with_name("files")
HONEST |= {ending: (FILES / f"keeper.{ending}").read_bytes() for ending in ("docx", "odt", "rtf", "tex", "ipynb", "fb2", "tei")}
HONEST |= {
    "json": json.dumps(ROWS).encode(),
    "srt": b"1\n00:00:01,000 --> 00:00:02,000\nWho goes there?\n\n2\n00:00:03,000 --> 00:00:04,000\nA keeper.\n",
    "mbox": b"From ann@mill.org Mon Jan  1 00:00:00 2024\nSubject: The light\n\nIt is lit.\n\n"
    b"From bob@mill.org Mon Jan  1 00:00:00 2024\nSubject: Re: The light\n\nIt is out.\n",
    "xml": b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><page><title>Cape</title><ns>0</ns><id>1</id>'
    b"<revision><id>9</id><text>The cape is [[west|western]].</text></revision></page></mediawiki>",
}
HONEST |= {f"zip{ending}"[3:].lstrip("."): make({"a.txt": HONEST["txt"], "b.jsonl": HONEST["jsonl"]}) for ending, make in ARCHIVERS.items()}
HONEST |= {f"{kind}{ending}": pack(HONEST[kind]) for kind in ("txt", "jsonl", "warc", "pdf") for ending, pack in PACKERS.items() if ending}
ZEROS = bytes(9 << 20)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def _flipped(content: bytes, random: Random) -> bytes:
    out = bytearray(content)
    for _ in range(random.randint(1, 20)):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _zeroed(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + bytes(random.randint(1, 200)) + content[start:]


def _noisy(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + random.randbytes(random.randint(1, 200)) + content[start + random.randint(0, 100) :]


def _shuffled(content: bytes, random: Random) -> bytes:
    size = max(1, len(content) // random.randint(2, 9))
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    random.shuffle(parts)
    return b"".join(parts)


def _doubled(content: bytes, random: Random) -> bytes:
    return content + content[random.randrange(len(content)) :]


def _headless(content: bytes, random: Random) -> bytes:
    return content[random.randint(1, 64) :]


def _grown(content: bytes, random: Random) -> bytes:
    """Overwrite four bytes with a huge number."""
    start = random.randrange(max(1, len(content) - 4))
    return content[:start] + struct.pack("<I", random.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x80000000))) + content[start + 4 :]


DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (_cut, _flipped, _zeroed, _noisy, _shuffled, _doubled, _headless, _grown)


@cache
def thousand(seed: int = 1) -> dict[str, bytes]:
    """Return at least a thousand inputs, none of which is valid throughout."""
    random = Random(seed)
    made = dict(_by_hand())
    while len(made) < 1000:
        kind = sorted(HONEST)[len(made) % len(HONEST)]
        damage = random.choice(DAMAGES)
        content = damage(HONEST[kind], random)
        # One in eight also has a wrong extension.
        ending = random.choice(sorted(HONEST)) if random.random() < 0.125 else kind
        made[f"{len(made):04}{damage.__name__}_{kind.replace('.', '_')}.{ending}"] = content
    return made


def _by_hand() -> Iterator[tuple[str, bytes]]:
    for kind in HONEST:
        yield f"empty.{kind}", b""
        yield f"blank.{kind}", b" \n\t\n" * 9
        yield f"zeros.{kind}", bytes(5000)
        yield f"noise.{kind}", Random(kind).randbytes(3000)
        yield f"lies.{kind}", HONEST["pdf"]
    yield from bombs().items()
    yield from _encodings()
    yield from _markup()
    yield from _records()
    yield from _tables()


@cache
def bombs() -> dict[str, bytes]:
    """Return archives and compressed files that must be refused as a whole."""
    return dict(_bombs())


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield from ((f"bomb.txt{ending}", pack(ZEROS)) for ending, pack in PACKERS.items() if ending)
    yield from ((f"bomb.jsonl{ending}", pack(HONEST["jsonl"] + ZEROS)) for ending, pack in PACKERS.items() if ending)
    members = {"good.txt": HONEST["txt"], "bomb.txt": ZEROS}
    yield from ((f"bombed{ending}", make(members)) for ending, make in ARCHIVERS.items() if ending != ".tar")
    for number, name in enumerate(("../up.txt", "/etc/x.txt", "a/../../x.txt", "C:/x.txt", "..\\x.txt")):
        for ending, make in ARCHIVERS.items():
            yield f"outside{number}{ending}", make({"good.txt": HONEST["txt"], name: b"Bad."})
    for kind, what in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device"), (tarfile.FIFOTYPE, "pipe")):
        yield f"{what}.tar", tarred({"a.txt": b""}, kind)
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        info = zipfile.ZipInfo("a.txt")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    yield "link.zip", linked.getvalue()
    yield "bomb.epub", epub({"one": chapter("x" * (9 << 20))})
    yield "climbing.epub", epub({"one": chapter("Text.")}, more={"../../evil.txt": "Bad."})


def _encodings() -> Iterator[tuple[str, bytes]]:
    text = prose("encoded")
    for name in ("utf-16", "utf-32", "utf-7", "shift_jis", "cp037", "utf-16-le"):
        content = text.encode(name)
        yield f"{name}.txt", content
        yield f"{name}_half.txt", content[:-1]
        yield f"{name}.csv", f'text\n"{text}"\n'.encode(name)
        yield f"{name}.jsonl", (json.dumps({"text": text}) + "\n").encode(name)
        yield f"{name}.html", page("x").encode(name)
    yield "overlong.txt", b"\xc0\xaf\xe0\x80\xaf" * 99
    yield "surrogates.txt", b"\xed\xa0\x80\xed\xb0\x80 text " * 99
    yield "marks.txt", b"\xef\xbb\xbf" * 99 + b"text"
    yield "false_mark.txt", b"\xff\xfe" + text.encode()
    yield "returns.txt", b"\r" * 9999 + b"text"
    yield "line.txt", b"x" * (3 << 20)


def _markup() -> Iterator[tuple[str, bytes]]:
    for tag in ("div", "p", "table", "b", "blockquote"):
        yield f"deep_{tag}.html", (f"<html><body>{f'<{tag}>' * 100_000}{prose('deep')}{f'</{tag}>' * 100_000}</body></html>").encode()
        yield f"open_{tag}.html", (f"<html><body>{f'<{tag}>' * 100_000}{prose('open')}").encode()
    yield "attributes.html", b"<html><body><p " + b'a="1" ' * 100_000 + b">Text.</p></body></html>"
    yield "entities.html", b"<html><body><p>" + b"&lt;&#x110000;&#0;&nosuch;" * 9999 + b"</p></body></html>"
    yield "comment.html", b"<html><!--" + b"-" * 500_000
    yield "null.html", page("x").encode().replace(b"e", b"e\0")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]>'
    yield "laughs_package.epub", epub({"one": chapter("Text.")}, "&l9;", doctype=doctype)
    yield "laughs_page.epub", epub({"one": f"<?xml version='1.0'?>{doctype}<html><body><p>&l9;</p></body></html>"})
    outer = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    yield "outer.epub", epub({"one": f"{outer}<html xmlns='http://www.w3.org/1999/xhtml'><body><p>&e;</p></body></html>"})
    yield "outer_package.epub", epub({"one": chapter("Text.")}, "&e;", doctype=outer)
    yield "deep.epub", epub({"one": f"<html><body>{'<div>' * 100_000}x{'</div>' * 100_000}</body></html>"})
    yield "no_container.epub", zipped({"mimetype": b"application/epub+zip"})
    yield "no_package.epub", epub({}, more={"META-INF/container.xml": CONTAINER.replace("p.opf", "gone.opf")})
    yield "two_containers.epub", zipped({"META-INF/container.xml": b"<a/>", "mimetype": b"x"})
    yield "locked.epub", epub({"a": chapter("Text.")}, more={"META-INF/encryption.xml": '<e><CipherReference URI="OPS/a.xhtml"/></e>'})
    pages = {
        "brackets": "[" * 5000, "stars": "*a_ " * 3000, "quotes": ">" * 5000 + "x", "ticks": "`" * 3000 + " `` " * 999,
        "links": "[a](" * 3000, "lists": "- " * 3000 + "x", "pipes": "|" * 5000 + "\n" + "|-" * 5000, "tags": "<a " * 5000,
    }  # fmt: skip
    for name, text in pages.items():
        yield f"{name}.md", text.encode()
    yield "front.md", b"---\n" * 5000
    yield "braces.rtf", b"{\\rtf1 " + b"{" * 100_000 + b"}" * 100_001
    yield "notes.rtf", b"{\\rtf1 " + b"{\\footnote " * 20_000 + b"}" * 20_001
    yield "binary.rtf", b"{\\rtf1 \\bin99999999 text}"
    yield "braces.tex", b"{" * 20_000 + b"text"
    yield "begins.tex", b"\\begin{a}" * 5000
    yield "deep.ipynb", b'{"cells":' * 50_000
    yield "deep.json", b"[" * 20_000
    yield "deep.fb2", b"<?xml version='1.0'?><FictionBook><body>" + b"<p>" * 100_000 + b"x</FictionBook>"
    yield "braces.xml", HONEST["xml"].replace(b"The cape", b"{{" * 20_000 + b"[[" * 20_000)
    head = b"From a@b.org Mon Jan  1 00:00:00 2024\nContent-Type: multipart/mixed; boundary=x\n\n"
    yield "parts.mbox", HONEST["mbox"] + head + b"--x\n" * 9999
    yield "times.srt", b"1\n00:00:01,000 --> 00:00:02,000\nx\n\n" * 9999
    for kind in ("docx", "odt"):
        yield f"zeros.{kind}", zipped({"word/document.xml": ZEROS, "content.xml": ZEROS})
        yield f"none.{kind}", zipped({"a.txt": b"x"})
    yield "locked.pdf", locked_pdf()
    yield "scan.pdf", pdf(["", ""])
    yield "pages.pdf", HONEST["pdf"].replace(b"/Count 2", b"/Count 99999999")
    yield "loop.pdf", HONEST["pdf"].replace(b"/Kids [4 0 R 6 0 R]", b"/Kids [2 0 R 2 0 R]")
    yield "deep.pdf", b"%PDF-1.4\n1 0 obj\n" + b"[" * 100_000 + b"\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF"


def _records() -> Iterator[tuple[str, bytes]]:
    good = b'{"text": "A good one."}\n'
    lines = {
        "open": b'{"text": "x', "deep": b'{"text":' * 100_000, "lists": b"[" * 100_000, "number": b'{"text": ' + b"9" * 9999 + b"}",
        "bare": b"text", "list": b'["text"]', "null": b'{"text": null}', "surrogate": b'{"text": "\\ud800 x"}',
        "bytes": b'{"text": "\xff\xfe\x00"}', "zeros": bytes(99), "double": b'{"text": "a", "text": 3}',
    }  # fmt: skip
    for name, line in lines.items():
        yield f"{name}.jsonl", good + line + b"\n" + good
    tables = {
        "open": b'text\n"never closed\n' + b"x\n" * 999, "quotes": b'text\n"a"b"c"\n' * 9, "ragged": b"text,b\n1\n1,2,3\n",
        "twice": b"text,text\n1,2\n", "nameless": b",,\n1,2,3\n", "broken_header": b'"text\nx\n', "zeros": b"text\n\0\0\n",
        "commas": b"text," + b"," * 50_000 + b"\n", "return": b"text\rone\rtwo\r", "only": b"text\n",
    }  # fmt: skip
    for name, text in tables.items():
        yield f"{name}.csv", text
    block = HONEST["warc"]
    yield "length.warc", block.replace(b"Content-Length: ", b"Content-Length: 9")
    yield "negative.warc", block.replace(b"Content-Length: ", b"Content-Length: -")
    yield "words.warc", block.replace(b"Content-Length: ", b"Content-Length: many ")
    yield "headless.warc", block.replace(b"HTTP/1.1", b"\0\0\0\0")
    yield "chunks.warc", block.replace(b"Content-Type: text/html", b"Transfer-Encoding: chunked\r\nContent-Type: text/html")
    packed = gzip.compress(ZEROS + bytes(200 << 20))
    yield (
        "inner_bomb.warc",
        warc([("text/plain", packed)]).replace(b"Content-Type: text", b"Content-Encoding: gzip\r\nContent-Type: text"),
    )
    yield "forever.warc", b"WARC/1.0\r\n" + b"X: y\r\n" * 50_000


def _tables() -> Iterator[tuple[str, bytes]]:
    for name, rows in (("missing", [{"a": "x"}]), ("number", [{"text": 1}]), ("list", [{"text": ["a"]}]), ("nulls", [{"text": None}] * 9)):
        yield f"{name}.parquet", table(rows)
    for name, columns in (("rows", {"text": pa.nulls(3_000_000, pa.string())}), ("repeats", {"text": pa.array(["x" * 100_000] * 3000)})):
        out = io.BytesIO()
        pq.write_table(pa.table(columns), out)
        yield f"{name}.parquet", out.getvalue()
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array([b"\xff\xfe"], pa.binary())}), out)
    yield "bytes.parquet", out.getvalue()
    yield "letters.parquet", table([{"text": "An honest text, or so it seems."}]).replace(b"honest", b"\xff\xfe\xfd\xfc\xfb\xfa")
    inner = zipped({"a.txt": HONEST["txt"]})
    yield "nested.zip", zipped({"inner.zip": inner, "inner.tar.gz": ARCHIVERS[".tar.gz"]({"a.txt": b"x"}), "good.txt": HONEST["txt"]})
    yield "twice.txt.gz", gzip.compress(gzip.compress(HONEST["txt"]))
    yield "box.zip.gz", gzip.compress(inner)
    yield "tail.txt.gz", gzip.compress(HONEST["txt"]) + b"not gzip"
    yield "tail.txt.bz2", bz2.compress(HONEST["txt"]) + b"not bzip2"
    yield "tail.txt.xz", lzma.compress(HONEST["txt"]) + b"not xz"
    yield "tail.txt.zst", zstandard.ZstdCompressor().compress(HONEST["txt"]) + b"not zstd"
    yield "pictures.zip", zipped({"a.png": b"\x89PNG"})
    yield "hollow.zip", zipped({})
    yield "hollow.tar", tarred({})
    yield "many.zip", zipped({f"{number}.txt": b"x" for number in range(300)})
    yield "name.tar", tarred({"caf\udce9.txt": HONEST["txt"], "a\nb.txt": HONEST["txt"]})
