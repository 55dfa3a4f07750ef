"""The order of the rules, and what each is called in the ledger.

A line rule is one SELECT in `sql/` that gives every line (or NULL, where it goes) with the pieces and characters that
it touched; `clean` does the accounting for all of them in one way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from data.cleaning.config import CleanConfig

SQL = Path(__file__).with_name("sql")


@dataclass(frozen=True)
class LineRule:
    """One rule over table lines."""

    name: str
    script: str
    action: str
    applies: bool
    before: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def line_rules(config: CleanConfig) -> list[LineRule]:
    """The line rules that `config` asks for, in order."""
    # Heads and numbers are found together, each by the other; numbers sought anew when the heads are gone would stand alone.
    found_by = () if config.running_heads else ("pages.sql",)
    return [
        LineRule("encoding", "encoding.sql", "changed", config.encoding),
        LineRule("characters", "characters.sql", "changed", config.characters),
        LineRule("quotes", "quotes.sql", "changed", config.quotes),
        LineRule("dashes", "dashes.sql", "changed", config.dashes == "em"),
        LineRule("boilerplate", "boilerplate.sql", "removed", config.boilerplate),
        LineRule("corrupted", "corrupted.sql", "removed", config.corrupted),
        LineRule("repeated pages", "repeated_pages.sql", "removed", config.repeated_pages, ("pages.sql",)),
        LineRule("running heads", "furniture.sql", "removed", config.running_heads, ("pages.sql",), {"kind": "running head"}),
        LineRule("page numbers", "furniture.sql", "removed", config.page_numbers, found_by, {"kind": "page number"}),
        LineRule("chapter titles", "chapters.sql", "removed", config.chapter_titles == "drop"),
    ]


def script(name: str) -> str:
    """The text of one file of `sql/`."""
    return (SQL / name).read_text("utf-8")
