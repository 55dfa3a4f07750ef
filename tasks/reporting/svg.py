"""SVG elements for the page: charts drawn by matplotlib, and the parts of the lineage drawing.

Colours are names of the page's style sheet, so a drawing follows light and dark mode. Every text and attribute is escaped.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup, escape

if TYPE_CHECKING:  # importing matplotlib takes half a second, which commands that draw nothing shouldn't spend
    from matplotlib.figure import Figure

# matplotlib knows no CSS variables, so each one is drawn in a colour that nothing else has, and put back afterwards.
COLOURS = {name: f"#0000{number:02x}" for number, name in enumerate(("ink", "soft", "grid", "strong", "other", "quiet"), start=1)}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "folio",  # the same chart gives the same bytes
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 13,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": "none",
    "axes.facecolor": "none",
    "axes.labelcolor": COLOURS["soft"],
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 1,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.labelcolor": COLOURS["soft"],
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "xtick.bottom": False,
    "xtick.labelcolor": COLOURS["soft"],
    "xtick.labelsize": 12,
    "ytick.left": False,
    "ytick.labelcolor": COLOURS["soft"],
    "ytick.labelsize": 12,
}
NO_TITLES: Mapping[str, Iterable[str]] = MappingProxyType({})
UNPRINTABLE = re.compile("[^\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # what XML cannot hold
SPACE, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def chart(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty matplotlib figure in the page's style; one unit is one pixel of the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        yield Figure(figsize=(width / 72, height / 72), dpi=72)


def rendered(figure: Figure, label: str, titles: Mapping[str, Iterable[str]] = NO_TITLES, overlay: Iterable[Markup] = ()) -> Markup:
    """Return a figure as an SVG element; `label` describes it to those who can't see it.

    An artist's gid becomes its class. All ids are removed, so a page can hold many drawings. titles: what the artists of a kind, the first
    word of their gids, say under the pointer, in the order in which they are drawn. overlay: what lies above the figure.
    """
    stream = BytesIO()
    with warnings.catch_warnings():
        # matplotlib measures text in its own font, which lacks many scripts; the page is shown in the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(stream.getvalue())
    shapes = {path.attrib["id"]: path.attrib["d"] for path in root.iter(f"{SPACE}path") if "id" in path.attrib}
    width, height = (72 * inches for inches in figure.get_size_inches())
    said = {kind: iter(texts) for kind, texts in titles.items()}
    return drawing(width, height, printable(label), [*(part for child in root for part in _tidied(child, shapes, said)), *overlay])


def title(*lines: str) -> Markup:
    """Return what an element says under the pointer; no script is needed for it."""
    return tag("title", "\n".join(map(printable, lines)))


def _tidied(element: ElementTree.Element, shapes: dict[str, str], titles: Mapping[str, Iterator[str]]) -> Iterator[Markup]:
    """Yield an element as markup without ids, references, fonts and empty groups."""
    name = element.tag.removeprefix(SPACE)
    if name in ("defs", "metadata"):
        return
    inner = [part for child in element for part in _tidied(child, shapes, titles)]
    style = _style(element.get("style", ""))
    if name == "g":
        kind = element.get("id", "")
        if "_" in kind or "." in kind or not kind:  # numbered by matplotlib; ours are words
            yield from inner
            return
        said = next(titles.get(kind.partition(" ")[0], iter(())), "")
        if inner:
            yield tag("g", *([title(said)] if said else []), *inner, class_=kind)
    elif name == "use":
        move = f"translate({_rounded(element.get('x', '0'))} {_rounded(element.get('y', '0'))})"
        yield tag("path", d=_rounded(shapes[element.attrib[LINK].removeprefix("#")]), transform=move, style=style)
    elif name == "text":
        yield tag("text", element.text or "", x=_rounded(element.attrib["x"]), y=_rounded(element.attrib["y"]), style=style)
    # Axes and figures without edge or ground are drawn, too, and lines that lie outside of the figure, without a shape.
    elif style != "fill: none" and (name != "path" or "d" in element.attrib):
        yield tag(name, *inner, d=_rounded(element.attrib["d"]), style=style)


def _style(style: str) -> str:
    """Return a style in the colours of the page, without the font's name, which the page sets."""
    kept = [part for part in style.split("; ") if part and not part.startswith(("font-family", "font:", "stroke-linecap: square"))]
    if font := re.search(r"font: (?:(\d+|bold) )?([\d.]+px)", style):
        kept += [f"font-size: {font[2]}", *([f"font-weight: {font[1]}"] if font[1] else [])]
    written = "; ".join(kept)
    for name, colour in COLOURS.items():
        written = written.replace(colour, f"var(--{name})")
    return written


def _rounded(numbers: str) -> str:
    """Return path data or a number with one digit after each point, on one line."""
    return " ".join(re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers).split())


def printable(text: str) -> str:
    """Return a text on one line, with a mark for each character that XML can't hold."""
    return UNPRINTABLE.sub("�", re.sub(r"[\t\n\r]", " ", text))


def tag(name: str, *content: str, **attributes: object) -> Markup:
    """Return an element. `class_` gives class; underscores in names become hyphens; content that is not Markup is escaped."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items() if value != "")
    return Markup(f"<{name}{written}>{''.join(escape(part) for part in content)}</{name}>")


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "") -> Markup:
    """Return a line of text whose baseline starts at x, y, or by `anchor` is centred there or ends there."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def drawing(width: float, height: float, label: str, parts: Iterable[str], *, styled: bool = True) -> Markup:
    """Return a drawing that is at most `width` pixels wide and shrinks with the page.

    styled: whether its width is a style, which a page whose policy forbids styles in its text can't hold; else it is an attribute.
    """
    view = f"0 0 {_short(width)} {_short(height)}"
    if not styled:
        return tag("svg", *parts, viewBox=view, width=width, height=height, role="group", aria_label=label)
    return tag("svg", *parts, viewBox=view, style=f"max-width:{_short(width)}px;--natural:{_short(width)}px", role="img", aria_label=label)


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def breakable(text: str) -> Markup:
    """Return a name, escaped unless it is markup, which a narrow window breaks behind its joints before it breaks a word."""
    return Markup(re.sub(r"(?<=\w)([/_.-])(?=\w)", r"\1<wbr>", str(escape(text))))
