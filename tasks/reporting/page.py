"""The page: one self-contained HTML file, without scripts and without anything to load, in light and dark, on screens of any width.

Guarantees: every text is escaped by the template engine, whatever a book's title or a model's answer holds; a section whose stages
the run does not have is left out, and the page's end names it. Costs a few hundredths of a second. Raises FileNotFoundError naming
the artifact when one of its files is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.reporting.account import Account
from tasks.reporting.answers import measured_section, talk_section
from tasks.reporting.corpus import funnel_section, rules_section
from tasks.reporting.gates import gates_section
from tasks.reporting.headline import headline
from tasks.reporting.held_out import held_out_section
from tasks.reporting.learning import learning_section
from tasks.reporting.packing import packing_section
from tasks.reporting.parts import Section
from tasks.reporting.sizes import sizes_section
from tasks.reporting.stages import lineage_section, stages_section
from tasks.reporting.tokenizer import tokenizer_section
from tasks.reporting.truth import truth_section
from tasks.reporting.wording import joined

HERE = Path(__file__).parent
SECTIONS: dict[str, Callable[[Account], Section | None]] = {
    "samples": talk_section,
    "gates": gates_section,
    "measurements": measured_section,
    "training curves": learning_section,
    "the corpus": funnel_section,
    "rules": rules_section,
    "packing": packing_section,
    "held-out text": held_out_section,
    "the tokenizer": tokenizer_section,
    "scores against a known truth": truth_section,
    "sizes": sizes_section,
    "lineage": lineage_section,
    "stages": stages_section,
}


def render(account: Account) -> str:
    """The whole page as HTML; the gates come first when one of them stopped the run."""
    head = headline(account)
    order = sorted(SECTIONS, key=lambda name: head.state == "failed" and name != "gates")
    built = {name: SECTIONS[name](account) for name in order}
    absent = [name for name, section in built.items() if section is None]
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        head=head,
        sections=[section for section in built.values() if section is not None],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        absent=joined(absent) if absent else "",
        commit=account.commit,
        dirty=account.dirty,
    )
