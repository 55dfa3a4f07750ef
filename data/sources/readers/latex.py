"""LaTeX to text by pylatexenc: the document's body without commands, with formulas as they are written.

Only the file itself is read: what it takes in from others stays out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from data.sources.decode import decode
from data.sources.errors import Unreadable
from data.sources.readers.record import BrokenRecord, ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole, tidy_lines

# A mark of the document, or what would hide one: a comment, and text that is printed as it is typed.
MARK = re.compile(
    r"\\[\\%]|%[^\n]*|\\verb\*?(?P<bar>[^\w\s*])[^\n]*?(?P=bar)"
    r"|\\begin\s*\{(?P<kept>verbatim\*?|Verbatim|lstlisting|minted|comment)\}.*?\\end\s*\{(?P=kept)\}"
    r"|\\(?P<mark>begin|end)\s*\{document\}",
    re.DOTALL,
)
COMMENT = re.compile(r"(?<!\\)%[^\n]*")
CLASS = re.compile(r"^[^\S\n]*\\document(?:class|style)\b", re.MULTILINE)
TITLE = re.compile(r"\\title\s*(?:\[[^\]]*\]\s*)?\{")
HEADINGS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
TAKEN_IN = ("label", "input", "include", "bibliographystyle", "bibliography")
LEFT_OUT = (*TAKEN_IN, "noalign", "LTcaptype", "def")


def read_latex(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, titled by `\\title`, and after it that the document does not end, or what stands behind its end."""
    source, encoding = decode(read_whole(stream, options), options.encoding)
    begin, end = _bounds(source)
    if begin is None and CLASS.search(source):
        raise Unreadable(r"damaged tex: it has a class but no \begin{document}, so it is cut off or holds settings alone")
    text = _plain(source[begin:end])
    if not text:
        raise Unreadable("no text: nothing but commands")
    yield Record(text, title=_title(source), encoding=encoding)
    if begin is not None and end is None:
        yield BrokenRecord(r"damaged tex: cut off, since \end{document} is missing; what stands before it is kept", "missing end")
    if end is not None and (behind := COMMENT.sub("", source[end:]).partition("}")[2].strip()):
        yield BrokenRecord(rf"behind the end: {len(behind)} characters follow \end{{document}}; LaTeX does not read them", "behind the end")


def _bounds(source: str) -> tuple[int | None, int | None]:
    """Return where the document begins and where its end is marked, None for what is missing."""
    begin: int | None = None
    for found in MARK.finditer(source):
        if found["mark"] == "begin" and begin is None:
            begin = found.end()
        elif found["mark"] == "end" and begin is not None:
            return begin, found.start()
    return begin, None


def _plain(source: str) -> str:
    """Return a source without commands. Headings stand apart, and nothing is made up: no date of today, no title that isn't given."""
    from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
    from pylatexenc.latexwalker import LatexWalker
    from pylatexenc.latexwalker import get_default_latex_context_db as get_walker_db
    from pylatexenc.macrospec import EnvironmentSpec, MacroSpec

    def heading(node: Any, l2tobj: Any) -> str:
        return f"\n\n{l2tobj.node_arg_to_text(node, 2)}\n\n"

    known, texts = get_walker_db(), get_default_latex_context_db()
    known.add_context_category(
        "folio",
        prepend=True,
        macros=[MacroSpec("def", "{{"), *(MacroSpec(name, "{") for name in TAKEN_IN)],
        environments=[EnvironmentSpec(name, "[{") for name in ("tabular", "longtable")],
    )
    texts.add_context_category(
        "folio",
        prepend=True,
        macros=[
            *(MacroTextSpec(name, heading) for name in HEADINGS),
            *(MacroTextSpec(name, "") for name in ("maketitle", "today", "tableofcontents", *LEFT_OUT)),
            MacroTextSpec("item", "\n- "),
        ],
    )
    nodes, _, _ = LatexWalker(source, latex_context=known, tolerant_parsing=True).get_latex_nodes()
    converter = LatexNodes2Text(latex_context=texts, math_mode="verbatim", keep_comments=False)
    return tidy_lines(str(converter.nodelist_to_text(nodes)).splitlines())


def _title(source: str) -> str:
    found = TITLE.search(source)
    if found is None:
        return ""
    depth, start = 1, found.end()
    for position in range(start, min(len(source), start + 2000)):
        depth += {"{": 1, "}": -1}.get(source[position], 0)
        if not depth:
            return " ".join(_plain(source[start:position]).split())
    return ""
