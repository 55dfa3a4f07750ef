"""The rules of cleaning, in the order they run: what each is called, which option asks for it, and why it is there.

A rule of phase `repair` or `line` is one SELECT in `sql/`, named after its option, over table suspects (the lines that may need a repair)
or lines: it gives the lines it changes as d, n, before, line (NULL: the line goes) and how many characters it touched (0: mere layout).
`rounds` does the accounting for all of them in one way. The rules of phase `join` put lines together: join.sql, misread.sql, reread.sql.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.cleaning.config import CleanConfig

SQL = Path(__file__).with_name("sql")
# How a line begins that names a division of a book; the number that follows is not part of it.
DIVISION = (
    r"(?i)^\W*(chapter|book|part|act|scene|canto|volume|letter|section|sonnet|psalm|stanza"
    r"|chapitre|livre|kapitel|hoofdstuk|capitulum|liber)\b"
)
# What stands before a title in a list of them, in lower case without punctuation: a division's name, if any, and a number.
NUMERAL = r"^(?:(?:chapter|book|part|act|scene|canto|volume|letter|section) )?(?:[ivxlc]+|[0-9]+)"


@dataclass(frozen=True)
class Rule:
    """One rule. `action`: what the ledger says of the pieces it touches. `kind`: it takes what `pages.sql` found to be such a thing.
    `setting`: of the option, that asks for the rule."""

    name: str
    option: str
    phase: Literal["repair", "line", "join", "document"]
    action: Literal["changed", "cut", "removed"]
    reason: str
    kind: str = ""
    setting: bool | str = True

    @property
    def script(self) -> Path:
        """The SELECT of a rule of phase `repair` or `line`."""
        return SQL / ("furniture.sql" if self.kind else f"{self.option}.sql")

    @property
    def paged(self) -> bool:
        """Whether the rule needs to know where pages end, as the lines stand now."""
        return bool(self.kind) or self.option == "repeated_pages"

    def applies(self, config: CleanConfig) -> bool:
        """Whether `config` asks for it."""
        return bool(getattr(config, self.option) == self.setting)


# fmt: off
RULES = (
    Rule("encoding", "encoding", "repair", "changed", "what was decoded wrongly (cafÃ©) or is left from a web page (&amp;) nobody wrote"),
    Rule("characters", "characters", "repair", "changed", "one character has one form; control characters and odd spaces say nothing"),
    Rule("quotes", "quotes", "repair", "changed", "one kind of quotation mark, whatever the printer used"),
    Rule("dashes", "dashes", "repair", "changed", "one kind of dash, whatever the typist had", setting="em"),
    Rule("boilerplate", "boilerplate", "line", "cut", "notices of libraries and scanners are not the author's"),
    Rule("corrupted", "corrupted", "line", "cut", "symbol soup teaches nothing"),
    Rule("repeated pages", "repeated_pages", "line", "cut", "a page scanned twice was written once"),
    Rule("running heads", "running_heads", "line", "cut", "a page's head or foot interrupts the sentence", kind="running head"),
    Rule("page numbers", "page_numbers", "line", "cut", "a page's number interrupts the sentence", kind="page number"),
    Rule("contents", "contents", "line", "cut", "a table of contents repeats the titles without their chapters"),
    Rule("chapter titles", "chapter_titles", "line", "cut", "only where titles are not wanted", setting="drop"),
    Rule("chapter marks", "chapter_titles", "line", "changed", "a title can be told from text (# CHAPTER I)", setting="mark"),
    Rule("hyphenation", "hyphenation", "join", "changed", "the printer broke the word, not the author"),
    Rule("hard wraps", "unwrap", "join", "changed", "the width of a page is no property of prose; verse keeps its lines"),
    Rule("misread words", "ocr", "join", "changed", "a machine that reads takes one shape for another (tirne, c1ay)"),
    Rule("layout", "", "document", "changed", "blank lines and spaces that are left when all else is accounted for"),
    Rule("too short", "minimum_characters", "document", "removed", "what is left of a document is too little to learn from"),
)
# fmt: on
RULE_NUMBER = {rule.name: place for place, rule in enumerate(RULES)}
