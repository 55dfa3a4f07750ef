r"""What LaTeX's commands take and stand for: a table, what pylatexenc knows besides, and a document's own definitions.

An argument that is text is marked so; of the others the table says what kind of thing they are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

COMMENT = re.compile(r"(?<!\\)%[^\n]*")
# A command or an environment of the author's own: its name, how many arguments it takes, what the first is by default. A body follows.
COMMAND = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand)\s*\*?\s*(?:\{\s*\\([A-Za-z]+)\s*\}|\\([A-Za-z]+))"
    r"\s*(?:\[(\d)\]\s*)?(?:\[([^\[\]{}\n]{0,200})\]\s*)?(?=\{)|\\[egx]?def\s*\\([A-Za-z]+)\s*((?:#\d)*)\s*(?=\{)"
)
OWN_ENVIRONMENT = re.compile(r"\\(?:re)?newenvironment\s*\*?\s*\{(\w+)\*?\}\s*(?:\[(\d)\]\s*)?(?:\[([^\[\]{}\n]{0,200})\]\s*)?(?=\{)")
LONGEST_BODY = 2000  # characters of a definition; a longer one is a program
MOST_EXPANDED, EXPANDED_SHARE = 1 << 20, 10  # characters that definitions may come to, and more of them by the source's length
OWN_LISTING = re.compile(r"\\(?:lstnewenvironment|newminted|DefineVerbatimEnvironment|newverbatim)\s*\{(\w+)\}")
BRACE = re.compile(r"\\.|%[^\n]*|[{}\[\]]|\n[ \t]*\n", re.DOTALL)
ADDRESS_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # a percent sign begins no comment in an address
PRINTED = {
    "else": " ", "or": " ",
    "LaTeX": "LaTeX", "TeX": "TeX", "par": "\n\n", "newline": "\n", "item": "\n- ", "maketitle": "", "today": "", "tableofcontents": "",
}  # fmt: skip
# What a command takes, and the kind of what is no text in it. t: text in braces; o: text in brackets; the others are no text; d: an amount.
REFERENCE, ADDRESS, FILE, SETTING, INDEX, OPTION, CONDITION = (
    "references",
    "addresses",
    "files",
    "settings",
    "index entries",
    "options",
    "conditions",
)
SPECS = {
    "href": (ADDRESS, "[{t"), "hyperref": (REFERENCE, "[t"), "hyperlink": (REFERENCE, "{t"), "hypertarget": (REFERENCE, "{t"),
    "index": (INDEX, "[{"), "glossary": (INDEX, "{"), "label": (REFERENCE, "{"), "bibitem": (REFERENCE, "[{"), "item": (OPTION, "o"),
    "def": (SETTING, "#"), "edef": (SETTING, "#"), "gdef": (SETTING, "#"), "let": (SETTING, "c="), "newcommand": (SETTING, "{[[{"),
    "renewcommand": (SETTING, "{[[{"), "providecommand": (SETTING, "{[[{"), "newenvironment": (SETTING, "{[[{{"),
    "renewenvironment": (SETTING, "{[[{{"), "newtheorem": (SETTING, "{[{["), "setcounter": (SETTING, "{{"),
    "addtocounter": (SETTING, "{{"), "setlength": (SETTING, "{{"), "addtolength": (SETTING, "{{"), "vspace": (SETTING, "{"),
    "hspace": (SETTING, "{"), "color": (SETTING, "[{"), "definecolor": (SETTING, "{{{"), "colorbox": (SETTING, "{t"),
    "fcolorbox": (SETTING, "{{t"), "hypersetup": (SETTING, "{"), "pagestyle": (SETTING, "{"), "thispagestyle": (SETTING, "{"),
    "pagenumbering": (SETTING, "{"), "selectlanguage": (SETTING, "{"), "foreignlanguage": (SETTING, "{t"), "fontsize": (SETTING, "{{"),
    "multicolumn": (SETTING, "{{t"), "multirow": (SETTING, "[{[{t"), "cline": (SETTING, "{"), "cmidrule": (SETTING, "[({"),
    "raisebox": (SETTING, "{[[t"), "parbox": (SETTING, "[[[{t"), "makebox": (SETTING, "[[t"), "framebox": (SETTING, "[[t"),
    "resizebox": (SETTING, "{{t"), "scalebox": (SETTING, "{[t"), "rotatebox": (SETTING, "[{t"), "rule": (SETTING, "[{{"),
    "addcontentsline": (INDEX, "{{{"), "lstset": (SETTING, "{"), "bibliographystyle": (FILE, "{"), "usepackage": (FILE, "[{["),
    "graphicspath": (FILE, "{"), "includegraphics": (FILE, "[[{"), "input": (FILE, "{"), "include": (FILE, "{"),
    "bibliography": (FILE, "{"), "lstinputlisting": (FILE, "[{"), "verbatiminput": (FILE, "{"), "import": (FILE, "{{"),
    "subfile": (FILE, "{"), "includepdf": (FILE, "[{"), "texorpdfstring": (OPTION, "t{"), "url": (ADDRESS, "u"), "path": (ADDRESS, "u"),
    "nolinkurl": (ADDRESS, "u"), "textcolor": (SETTING, "[{t"), "vskip": (SETTING, "d"), "hskip": (SETTING, "d"),
    "ensuremath": (OPTION, "t"), "typeout": (SETTING, "{"), "message": (SETTING, "{"), "includeonly": (FILE, "{"), "sindex": (INDEX, "[{"),
    "addtocontents": (INDEX, "{{"), "markboth": (SETTING, "{{"), "markright": (SETTING, "{"), "write": (SETTING, "d{"),
    **dict.fromkeys(("ifthenelse", "iftoggle", "ifbool", "ifboolexpr", "ifblank", "ifdef", "ifundef", "ifcsdef", "ifcsundef", "ifdefempty",
                     "ifdefvoid", "ifstrempty", "IfValueTF", "IfNoValueTF", "IfBooleanTF", "IfPackageLoadedTF"), (CONDITION, "{tt")),
    **dict.fromkeys(("ifstrequal", "ifdefstring", "ifdefstrequal", "ifcsstring"), (CONDITION, "{{tt")),
    **dict.fromkeys(("ifnumcomp", "ifdimcomp"), (CONDITION, "{{{tt")), "IfFileExists": (CONDITION, "{tt"), "whiledo": (CONDITION, "{t"),
    **dict.fromkeys(("ifx", "if", "ifcat"), (CONDITION, "==")), **dict.fromkeys(("ifnum", "ifdim"), (CONDITION, "dd")),
    **dict.fromkeys(("ifodd", "ifcase"), (CONDITION, "d")), "ifdefined": (CONDITION, "c"), "newif": (SETTING, "c"),
    **dict.fromkeys(("setboolean", "settoggle"), (SETTING, "{{")), "newcounter": (SETTING, "{["),
    **dict.fromkeys(("newboolean", "provideboolean", "newtoggle", "toggletrue", "togglefalse", "stepcounter", "refstepcounter",
                     "includecomment", "excludecomment", "phantom", "hphantom", "vphantom", "value"), (SETTING, "{")),
    "hbox": (SETTING, "dt"), "vbox": (SETTING, "dt"), "vtop": (SETTING, "dt"),
    **dict.fromkeys(
        ("kern", "penalty", "catcode", "lccode", "uccode", "parindent", "parskip", "baselineskip", "lineskip", "hsize", "vsize", "leftskip",
         "rightskip", "textwidth", "textheight", "topmargin", "oddsidemargin", "evensidemargin", "tolerance", "hyphenpenalty", "topskip",
         "raise", "lower", "moveleft", "moveright", "pageno", "hangindent", "hangafter"),
        (SETTING, "d"),
    ),
}  # fmt: skip
# Names of any package that take keys alone, such as \parencite, \citeauthor, \autoref and \cpageref.
KEYED = re.compile(r"[A-Za-z]*[Cc]ite[A-Za-z]*|(?:[A-Za-z]*[Rr]ef|[A-Za-z]*pageref|[Cc]refrange)")
LISTINGS = {"verbatim": "", "Verbatim": "[", "BVerbatim": "[", "lstlisting": "[", "minted": "[{", "alltt": "", "filecontents": "[{"}
UNPRINTED = {"comment": "comments", "tikzpicture": "pictures", "picture": "pictures", "pspicture": "pictures", "pgfpicture": "pictures"}
ENVIRONMENTS = {
    "tabular": "[{", "longtable": "[{", "array": "[{", "tabularx": "{[{", "tabulary": "{[{", "supertabular": "{", "minipage": "[[[{",
    "thebibliography": "{", "multicols": "{[", "list": "{{", "wrapfigure": "[{[{", "wraptable": "[{[{", "subfigure": "[{", "subtable": "[{",
    "adjustbox": "{", "spacing": "{", "otherlanguage": "{", "tabbing": "", "figure": "[", "table": "[", "enumerate": "[", "itemize": "[",
    "description": "[", "tcolorbox": "[",
}  # fmt: skip


@cache
def _libraries() -> tuple[Any, Any]:
    from pylatexenc.latex2text import get_default_latex_context_db
    from pylatexenc.latexwalker import get_default_latex_context_db as get_walker_db

    return get_default_latex_context_db(), get_walker_db()


@cache
def spec_of(name: str) -> tuple[str, str] | None:
    """Return the kind of a command's arguments that are no text, and what it takes; None for a command that nobody knows."""
    if name in SPECS:
        return SPECS[name]
    if KEYED.fullmatch(name):
        return REFERENCE, "[[{"
    texts, walker = _libraries()
    known, said = walker.get_macro_spec(name), texts.get_macro_spec(name)
    takes = getattr(getattr(known, "args_parser", None), "argspec", None)
    if takes is None:
        return (OPTION, "") if said is not None and isinstance(said.simplify_repl, str) else None
    repl = getattr(said, "simplify_repl", None)
    hidden = said is not None and getattr(said, "discard", False) and repl is None
    shown = {int(n) for n in re.findall(r"%\((\d)\)", repl)} if isinstance(repl, str) and "%(" in repl else None
    # An argument is text unless the library leaves it out.
    signs = [
        "t" if sign == "{" and not hidden and (shown is None or position in shown) else sign
        for position, sign in enumerate(takes, start=1)
        if sign != "*"
    ]
    return (SETTING if hidden else OPTION), "".join(signs)


@cache
def symbol_of(name: str) -> str:
    """Return the letters that a command without arguments stands for, "" if it stands for none."""
    if name in PRINTED:
        return PRINTED[name]
    said = _libraries()[0].get_macro_spec(name)
    found = getattr(said, "simplify_repl", None)
    return found if isinstance(found, str) and "%" not in found and len(found) < 20 else ""


@cache
def is_formula(environment: str) -> bool:
    spec = _libraries()[1].get_environment_spec(environment)
    return bool(getattr(spec, "is_math_mode", False))


def argument_ends(source: str, braces: re.Pattern[str]) -> dict[int, int]:
    """Return where each argument that begins with a brace or a bracket ends, by its beginning. A blank line ends no bracket.

    One pass finds all: to look for each end from its beginning would take for ever where ends are missing."""
    ends = dict[int, int]()
    opened, brackets = list[int](), [list[int]()]
    for found in braces.finditer(source):
        sign = found[0]
        if sign == "{":
            opened.append(found.start())
            brackets.append([])
        elif sign == "}" and opened:
            ends[opened.pop()] = found.end()
            brackets.pop()
        elif sign == "[":
            brackets[-1].append(found.start())
        elif sign == "]":
            ends |= dict.fromkeys(brackets[-1], found.end())
            brackets[-1] = []
        elif sign[0] == "\n":
            brackets = [[] for _ in brackets] if any(brackets) else brackets
    return ends


class Own(NamedTuple):
    """A definition: how many arguments it takes, what stands for the first where none is given, its body, and what ends an environment."""

    arguments: int
    default: str | None
    body: str
    end: str = ""


class OwnNames:
    """The document's definitions: commands, environments, and environments of listings.

    `budget`: characters that they may still give; `refused`: what was not written out."""

    def __init__(self, source: str) -> None:
        self.listings = frozenset(OWN_LISTING.findall(source))
        self.refused = set[str]()
        self.budget = MOST_EXPANDED + EXPANDED_SHARE * len(source)
        self.commands, self.environments = dict[str, Own](), dict[str, Own]()
        if not COMMAND.search(source) and not OWN_ENVIRONMENT.search(source):
            return
        ends = argument_ends(source, BRACE)
        for found in COMMAND.finditer(source):
            braced, bare, count, default, defined, parameters = found.groups()
            end = ends.get(found.end(), 0)
            if found.end() < end <= found.end() + LONGEST_BODY:
                arguments = len(parameters) // 2 if defined else int(count or 0)
                self.commands[braced or bare or defined] = Own(arguments, default, _body(source[found.end() + 1 : end - 1]))
        for found in OWN_ENVIRONMENT.finditer(source):
            end = ends.get(found.end(), 0)
            closing = end + len(source[end : end + 100]) - len(source[end : end + 100].lstrip())
            last = ends.get(closing, 0) if source.startswith("{", closing) else 0
            if found.end() < end < last <= found.end() + LONGEST_BODY:
                begins, closes = _body(source[found.end() + 1 : end - 1]), _body(source[closing + 1 : last - 1])
                self.environments[found[1]] = Own(int(found[2] or 0), found[3], begins, closes)


def _body(source: str) -> str:
    """Return what a definition stands for: no comments, since the line that one ends with is not its own, and no space for what follows."""
    return COMMENT.sub("", source).replace(r"\xspace", "")
