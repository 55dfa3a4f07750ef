"""Documents of known paragraphs, each with one thing planted in it that a reader may drop: damage, or words in a place that is no body."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.data.sources.material import chapter, epub, jsonl, tarred, warc, zipped

KEEPER = Path(__file__).parent / "files"
NOUNS = ("lamp", "keeper", "harbour", "ladder", "winter", "signal", "gull", "storm", "village", "anchor", "rope", "lantern")
VERBS = ("turned", "waited", "burned", "faded", "answered", "returned", "trembled", "shone")
RUSSIAN = "Старый смотритель каждый вечер поднимался по лестнице и считал ступени вслух"
JAPANESE = "灯台の番人は毎晩階段を登り、声を出して段を数えた"


class Planted(NamedTuple):
    """A file, and the paragraphs that it was made of."""

    name: str
    content: bytes
    paragraphs: tuple[str, ...]


Build = Callable[[random.Random, list[str]], tuple[str, bytes]]


def paragraphs(rng: random.Random, name: str) -> list[str]:
    """Return four to seven paragraphs that are nowhere else."""
    return [
        " ".join(["The", rng.choice(NOUNS), rng.choice(VERBS), "and the", rng.choice(NOUNS), rng.choice(VERBS), f"under mark {name}x{n}x."])
        for n in range(rng.randint(4, 7))
    ]


def planted(seed: int) -> Planted:
    """Return the file of a seed: plants take turns, and the seed decides all else."""
    rng = random.Random(seed)
    kind = list(PLANTS)[seed % len(PLANTS)]
    words = paragraphs(rng, f"n{seed}")
    ending, content = PLANTS[kind](rng, words)
    return Planted(f"{seed}_{kind}{ending}", content, tuple(words))


def _tex(form: str, preamble: str = "") -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(len(words))
        body = "\n\n".join(form.replace("@", one) if n == at else one for n, one in enumerate(words))
        begin = preamble.replace("@", words[at])
        return ".tex", f"\\documentclass{{article}}{begin}\n\\begin{{document}}\n{body}\n\\end{{document}}\n".encode()

    return build


def _rtf(form: str, charset: int = 0, page: str = "cp1252", letters: str = "") -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(len(words))
        if letters:
            words[at] = f"{letters} {at}"
        coded = ["".join(c if c.isascii() else "".join(f"\\'{b:02x}" for b in c.encode(page)) for c in one) for one in words]
        body = "\\par\n".join(form.replace("@", one) if n == at else one for n, one in enumerate(coded))
        return ".rtf", f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 A;}}\n{{\\f1\\fcharset{charset} B;}}}}{body}\\par}}".encode("ascii")

    return build


def _xml(ending: str, frame: str, form: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(1, len(words))
        return ending, frame.replace(
            "@", "".join(form.replace("@", one) if n == at else f"<p>{one}</p>" for n, one in enumerate(words))
        ).encode()

    return build


def _html(form: str, frame: str = "<html><head><title>T</title></head><body>@</body></html>") -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(1, len(words))
        shown = "".join(form.replace("@", one) if n == at else f"<p>{one}</p>" for n, one in enumerate(words))
        return ".html", frame.replace("@", shown).encode()

    return build


TEI = '<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>@</body></text></TEI>'
FB2 = '<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><body><section>@</section></body></FictionBook>'


def _odt(form: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        spaces = (
            'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
        )
        at = rng.randrange(1, len(words))
        body = "".join(form.replace("@", one) if n == at else f"<text:p>{one}</text:p>" for n, one in enumerate(words))
        content = (
            f"<office:document-content {spaces}><office:body><office:text>{body}</office:text></office:body></office:document-content>"
        )
        return ".odt", zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": content.encode()})

    return build


def _docx(form: str, part: str = "") -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        spaces = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
        at = rng.randrange(1, len(words))
        shown = [form.replace("@", one) if n == at else f"<w:p><w:r><w:t>{one}</w:t></w:r></w:p>" for n, one in enumerate(words)]
        with zipfile.ZipFile(KEEPER / "keeper.docx") as opened:
            members = {name: opened.read(name) for name in opened.namelist()}
        if part:
            members[part] = f"<w:hdr {spaces}>{shown.pop(at)}</w:hdr>".encode()
        members["word/document.xml"] = f"<w:document {spaces}><w:body>{''.join(shown)}</w:body></w:document>".encode()
        return ".docx", zipped(members)

    return build


def _returns(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    return rng.choice([".csv", ".tsv"]), "\r".join(["text", *words]).encode()


def _unlabelled(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    page = f"<html><body><article>{''.join(f'<p>{one}</p>' for one in words)}</article></body></html>".encode()
    return ".warc", warc([(rng.choice(["", "application/octet-stream", "text/xml", "text/plain"]), page)])


def _joined_pdf(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    at = rng.randrange(1, len(words))
    return ".pdf", _pdf("")(rng, words[:at])[1] + _pdf("")(rng, words[at:])[1]


def _named_twice(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    rows = [f'{{"text": "{one}"}}' for one in words[1:]]
    return ".jsonl", "\n".join([f'{{"text": "{words[0]}", "text": "{words[1]}"}}', *rows]).encode()


def _subtitles(ending: str, head: str, form: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(len(words))
        cues = (f"{n}\n00:00:0{n}.000 --> 00:00:0{n}.900\n{form.replace('@', one) if n == at else one}" for n, one in enumerate(words))
        return ending, f"{head.replace('@', words[at])}{chr(10).join(f'{cue}{chr(10)}' for cue in cues)}".encode()

    return build


def _epub(change: Callable[[str], str], name: str = "c{}.xhtml", missing: bool = False, spoil: bool = False) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(len(words))
        content = epub({f"c{n}": chapter(one) for n, one in enumerate(words)})
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            members = {one: opened.read(one) for one in opened.namelist()}
        page = members.pop(f"OPS/c{at}.xhtml")
        if not missing:
            members[f"OPS/{name.format(at)}"] = page
        members["OPS/p.opf"] = change(
            members["OPS/p.opf"].decode().replace(f'href="c{at}.xhtml"', f'href="{name.format(at)}"').replace("@", str(at))
        ).encode()
        packed = zipped(members)
        if spoil:
            with zipfile.ZipFile(io.BytesIO(packed)) as opened:
                place = opened.getinfo(f"OPS/c{at}.xhtml").header_offset
            packed = _flipped(packed, place + 30 + len(f"OPS/c{at}.xhtml") + 20)
        return ".epub", packed

    return build


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes((content[place] ^ 0xA5, content[place + 1] ^ 0x5A)) + content[place + 2 :]


def _pdf(damage: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at, parts = rng.randrange(len(words)), [b"<< /Type /Catalog /Pages 2 0 R >>"]
        kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(words)))
        parts += [
            f"<< /Type /Pages /Kids [{kids}] /Count {len(words)} >>".encode(),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
        for n, one in enumerate(words):
            stream = zlib.compress(f"BT /F1 10 Tf 40 780 Td ({one}) Tj ET".encode())
            extra, filtered = "", "/FlateDecode"
            if n == at and damage == "stream":
                stream = _flipped(stream, rng.randrange(4, len(stream) - 6))
            elif n == at and damage == "cut":
                stream = stream[: len(stream) // 2]
            elif n == at and damage == "filter":
                filtered = "/FlateDecodx"
            elif n == at and damage == "note":
                stream, extra = zlib.compress(b"BT ET"), f"/Annots [<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /Contents ({one}) >>]"
            resources = "/MediaBox [0 0 900 800] /Resources << /Font << /F1 3 0 R >> >>"
            parts.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * n} 0 R {extra} >>".encode())
            parts.append(f"<< /Filter {filtered} /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
        out, offsets = b"%PDF-1.4\n", []
        for n, part in enumerate(parts, start=1):
            offsets.append(len(out))
            broken = damage == "page" and n == 4 + 2 * at
            out += f"{n} 0 obj\n".encode() + (b"<< broken" if broken else part) + b"\nendobj\n"
        table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
        size = len(parts) + 1
        return ".pdf", out + (
            f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n".encode()
        )

    return build


def _members(words: Sequence[str]) -> dict[str, bytes]:
    return {f"{n}.txt": one.encode() for n, one in enumerate(words)}


def _tar_header(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    damaged = _flipped(tarred(_members(words)), 1024 * rng.randrange(len(words)) + rng.randrange(150))
    return rng.choice([(".tar", damaged), (".tar.gz", gzip.compress(damaged))])


def _joined(ending: str, pack: Callable[[dict[str, bytes]], bytes]) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at, members = rng.randrange(1, len(words)), list(_members(words).items())
        return ending, pack(dict(members[:at])) + pack(dict(members[at:]))

    return build


def _gz_members(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    return ".txt.gz", b"".join(gzip.compress(f"{one}\n\n".encode()) for one in words) + rng.choice([b"", bytes(9), b"words behind"])


def _late(encoding: str, ending: str, letters: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        words[-1] = f"{letters} {rng.randrange(1000)}"
        rows = (
            words[:1]
            + ["The lamp burned on and nobody wrote a word."] * rng.randint(1600, 1900)
            + words[1:-1]
            + [words[-1]]
            + [letters] * 4
        )
        text = "\n".join(rows) + "\n" if ending == ".txt" else "text\tn\n" + "".join(f"{one}\t{n}\n" for n, one in enumerate(rows))
        return ending, text.encode(encoding)

    return build


def _quote(delimiter: str, ending: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at, side = rng.randrange(len(words)), rng.randrange(3)
        rows = [f"{one}{delimiter}{n}" for n, one in enumerate(words)]
        rows[at] = (f'"{rows[at]}', f'{words[at]}{delimiter}"{at}', f'"{words[at]}"{at}{delimiter}{at}')[side]
        return ending, ("\n".join([f"text{delimiter}n", *rows]) + "\n").encode()

    return build


def _column(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    words[0] = words[0].replace(" and", ", and" * rng.randint(1, 3) + ";")
    return rng.choice([".tsv", ".csv"]), "\n".join(["text", *words]).encode()


def _label(label: str, encoding: str, letters: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        words[:] = [f"{letters} {rng.randrange(1000)}" for _ in words]
        body = "".join(f"<p>{one}</p>" for one in words)
        page = f"<html><head><title>T</title></head><body><article>{body}</article></body></html>".encode(encoding)
        return ".warc", warc([(f"text/html; charset={label}", page)])

    return build


def _cut_letter(encoding: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        whole = f"{JAPANESE}\n{chr(10).join(words)}\n{JAPANESE}".encode(encoding)
        return ".txt", whole[:-1]

    return build


def _markdown(form: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(1, len(words))
        return ".md", "\n\n".join(form.replace("@", one) if n == at else one for n, one in enumerate(words)).encode()

    return build


def _notebook(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    cells: list[dict[str, object]] = [{"cell_type": "markdown", "source": one} for one in words[1:]]
    cells.append({"cell_type": "code", "source": "x", "outputs": [{"output_type": "stream", "text": words[0]}]})
    return ".ipynb", json.dumps({"cells": cells}).encode()


def _vtt(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    cues = "\n\n".join(f"00:0{n}.000 --> 00:0{n}.900\n{one}" for n, one in enumerate(words[1:]))
    return ".vtt", f"WEBVTT\n\nNOTE\n{words[0]}\n\n{cues}\n".encode()


def _mail(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    place = rng.randrange(4)
    around = [words[0] if n == place else "" for n in range(4)]
    other = base64.b64encode(around[3].encode()).decode()
    parts = f"--b\nContent-Type: text/plain\n\n{chr(10).join(words[1:])}\n{around[0]}\n--b\nContent-Type: text/html\n\n<p>{around[1]}</p>\n"
    parts += f"--b\nContent-Type: text/calendar\nContent-Transfer-Encoding: base64\n\n{other}\n--b--\n{around[2]}\n"
    return ".mbox", f"From a@b Thu Jan  1 00:00:00 2015\nSubject: S\nContent-Type: multipart/alternative; boundary=b\n\n{parts}".encode()


def _wiki(form: str) -> Build:
    def build(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
        at = rng.randrange(1, len(words))
        text = "\n\n".join(form.replace("@", one) if n == at else one for n, one in enumerate(words))
        revision = f"<revision><text>{text.replace('&', '&amp;').replace('<', '&lt;')}</text></revision>"
        return ".xml", f"<mediawiki><page><title>T</title><ns>0</ns><id>1</id>{revision}</page></mediawiki>".encode()

    return build


def _half(rng: random.Random, words: list[str]) -> tuple[str, bytes]:
    rows = jsonl([{"text": one} for one in words])
    return rng.choice([(".jsonl", rows[:-5]), (".json", json.dumps([{"text": one} for one in words]).encode()[:-9])])


PLANTS: dict[str, Build] = {
    "tex_href": _tex(r"\href{http://a.b/c%20d}{@} goes on"),
    "tex_verb": _tex(r"\verb|@|"),
    "tex_index": _tex(r"\index{@} Words"),
    "tex_verbatim": _tex("\\begin{verbatim}\n@ % {\n\\end{verbatim}"),
    "tex_listing": _tex("\\begin{lstlisting}[language=C]\n@ % {\n\\end{lstlisting}"),
    "tex_unknown": _tex(r"\unheard{@}"),
    "tex_option": _tex(r"\unheard[@]{Words}"),
    "tex_open": _tex(r"{\emph{@"),
    "tex_cite": _tex(r"\cite[@]{key}"),
    "tex_comment": _tex("Words % @\nmore"),
    "tex_dollar": _tex("It cost $5. @"),
    "tex_theorem": _tex("\\begin{theorem}[@]\nx\n\\end{theorem}"),
    "tex_macro": _tex(r"\mine{x}", r"\newcommand{\mine}[1]{\emph{@} and #1}"),
    "tex_environment": _tex(r"\begin{mine}x\end{mine}", r"\newenvironment{mine}{}{@}"),
    "tex_endless": _tex(r"\mine{} @", r"\def\mine{\mine\mine @}"),
    "tex_either": _tex(r"\ifthenelse{\equal{x}{y}}{@}{x}"),
    "tex_or": _tex(r"\ifnum 1<2 x\else @\fi"),
    "tex_never": _tex(r"\iffalse @ \fi Words"),
    "tex_mark": _tex(r"\markboth{@}{x}"),
    "html_behind": _html("</body></html><p>@</p>"),
    "html_joined": _html("</body></html><!DOCTYPE html><html><head><title>T</title></head><body><h2>@</h2>"),
    "html_script": _html("<script>x; </p><p>@</p>"),
    "html_title": _html("<title><p>@</p>"),
    "html_alt": _html('<img src="x.png" alt="@">'),
    "html_comment": _html("<!-- @"),
    "html_template": _html("<template>@</template>"),
    "html_poem": _html('<div class="poem"><div class="stanza"><span class="i0">@<br></span><div class="i2">x</div></div></div>'),
    "html_list": _html("<ol><li><h2>@</h2><li>x</ol>"),
    "html_caption": _html("<table><caption>@</caption><tr><td>x</table>"),
    "html_center": _html("<center>@</center>"),
    "html_nav": _html("<nav>@</nav>"),
    "rtf_older": _rtf(r"A{\shp{\*\shpinst{\shptxt x}}{\shprslt{\*\do\dptxbx{\dptxbxtext @\par}}}}"),
    "rtf_background": _rtf(r"A{\*\background{\shp{\*\shpinst{\shptxt @}}}}"),
    "rtf_box": _rtf(r"A{\shp{\*\shpinst{\shptxt @\par}}}"),
    "rtf_note": _rtf(r"A{\footnote @}"),
    "rtf_header": _rtf(r"A{\header @\par}"),
    "rtf_unknown": _rtf(r"A{\*\unheard @}"),
    "rtf_cyrillic": _rtf(r"{\f1 @}", 204, "cp1251", RUSSIAN),
    "rtf_hidden": _rtf(r"A{\v @}B"),
    "rtf_deleted": _rtf(r"A{\deleted @}B"),
    "rtf_behind": _rtf(r"A}{\rtf1 @"),
    "rtf_japanese": _rtf(r"{\f1 @}", 128, "cp932", JAPANESE),
    "tei_header": _xml(".tei", TEI, "<fw>@</fw>"),
    "tei_sic": _xml(".tei", TEI, "<p><choice><sic>@</sic><corr>x</corr></choice></p>"),
    "fb2_binary": _xml(".fb2", FB2, "<image>@</image>"),
    "fb2_description": _xml(".fb2", FB2.replace("<body>", "<description>D</description><body>"), "<description>@</description>"),
    "odt_annotation": _odt("<text:p>A<office:annotation><text:p>@</text:p></office:annotation></text:p>"),
    "odt_hidden": _odt('<text:p>A<text:hidden-text text:string-value="@"/>B</text:p>'),
    "odt_section": _odt('<text:section text:display="none"><text:p>@</text:p></text:section><text:p>A</text:p>'),
    "odt_otherwise": _odt('<text:p>A<text:conditional-text text:string-value-if-false="@">x</text:conditional-text></text:p>'),
    "docx_deleted": _docx('<w:p><w:del w:id="1"><w:r><w:delText>@</w:delText></w:r></w:del></w:p>'),
    "docx_header": _docx("<w:p><w:r><w:t>@</w:t></w:r></w:p>", "word/header1.xml"),
    "docx_odd": _docx("<w:p><w:odd><w:r><w:t>@</w:t></w:r></w:odd></w:p>"),
    "epub_extension": _epub(str, "c{}.txt"),
    "epub_fallback": _epub(
        lambda s: s.replace('<itemref idref="c1"/>', '<itemref idref="x"/>').replace(
            "</manifest>", '<item id="x" href="x.bin" media-type="application/x-odd" fallback="c1"/></manifest>'
        )
    ),
    "epub_missing": _epub(str, missing=True),
    "epub_type": _epub(lambda s: s.replace("application/xhtml+xml", "application/octet-stream")),
    "epub_spoiled": _epub(str, spoil=True),
    "epub_spine": _epub(lambda s: s.replace('<itemref idref="c1"/>', "")),
    "epub_idref": _epub(lambda s: s.replace('idref="c1"', 'idref="gone"')),
    "pdf_stream": _pdf("stream"),
    "pdf_cut": _pdf("cut"),
    "pdf_filter": _pdf("filter"),
    "pdf_note": _pdf("note"),
    "pdf_joined": _joined_pdf,
    "pdf_page": _pdf("page"),
    "tar_header": _tar_header,
    "tar_joined": _joined(".tar", tarred),
    "zip_joined": _joined(".zip", zipped),
    "gz_members": _gz_members,
    "tgz_joined": _joined(".tar.gz", lambda members: gzip.compress(tarred(members))),
    "late_text": _late("cp1251", ".txt", RUSSIAN),
    "late_table": _late("koi8-r", ".tsv", RUSSIAN),
    "late_japanese": _late("shift_jis", ".tsv", JAPANESE),
    "quote_comma": _quote(",", ".csv"),
    "quote_tab": _quote("\t", ".tsv"),
    "one_column": _column,
    "returns": _returns,
    "named_twice": _named_twice,
    "unlabelled": _unlabelled,
    "label_latin": _label("iso-8859-1", "utf-8", RUSSIAN),
    "label_cyrillic": _label("iso-8859-1", "cp1251", RUSSIAN),
    "label_utf8": _label("utf-8", "cp1251", RUSSIAN),
    "cut_utf8": _cut_letter("utf-8"),
    "cut_utf16": _cut_letter("utf-16"),
    "md_comment": _markdown("<!-- @ -->"),
    "md_style": _markdown("<style>\n@\n</style>"),
    "md_title": _markdown('[a](http://x "@")'),
    "md_attribute": _markdown('a <span title="@">b</span>'),
    "md_fence": _markdown("```text @\nx\n```"),
    "srt_brace": _subtitles(".srt", "", "{@} x"),
    "srt_tag": _subtitles(".srt", "", "<@> x"),
    "vtt_head": _subtitles(".vtt", "WEBVTT - @\n\n", "x"),
    "vtt_voice": _subtitles(".vtt", "WEBVTT\n\n", "<v @>x"),
    "md_link": _markdown('[a]: http://x "@"'),
    "notebook": _notebook,
    "vtt": _vtt,
    "mail": _mail,
    "wiki_template": _wiki("{{note|@}}"),
    "wiki_ref": _wiki("A<ref>@</ref>"),
    "wiki_comment": _wiki("<!-- @ -->"),
    "half_json": _half,
}
