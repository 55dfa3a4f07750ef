"""The rules of cleaning, in the order they run: the name of each, the option that enables it, and the reason for it.

A rule of phase `repair` or `line` is one SELECT in `sql/`, named after its option, over table suspects (the lines that may need a repair)
or lines. It returns the lines it changes: d, n, before, line (NULL: remove the line) and the number of characters changed (0: layout only).
`rounds` accounts for all of them in the same way. The rules of phase `join` combine lines: join_lines.sql, misread_words.sql,
corrections.sql and correct_words.sql.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.cleaning.config import CleanConfig
from data.cleaning.sql import SQL

# The beginning of a line that names a division of a book, without the number that follows.
DIVISION = (
    r"(?i)^\W*(chapter|book|part|act|scene|canto|volume|letter|section|sonnet|psalm|stanza"
    r"|chapitre|livre|kapitel|hoofdstuk|capitulum|liber)\b"
)
# A line that says who scanned a text, and nothing else: names with capitals, and perhaps a year.
NAMED_NOTICE = (
    r"^\W*(?i:digiti[sz]ed|scanned|proofread|transcribed|produced) (?i:by|from|at) (?:(?i:the) )?"
    r"(?:\p{Lu}[\p{L}\p{N}.'&-]*,? ?|(?:and|of|the|for|at|in|de|von|van|der|la|du) |[0-9]{4}\b)*"
    r"\p{Lu}[\p{L}\p{N}.'&-]*(?: (?:in|on) [0-9]{4})?\W*$"
)
# What precedes a title in a table of contents, in lower case without punctuation: a division's name, if any, and a number.
NUMERAL = r"^(?:(?:chapter|book|part|act|scene|canto|volume|letter|section) )?(?:[ivxlc]+|[0-9]+)"


@dataclass(frozen=True)
class Rule:
    """A rule of cleaning.

    `action` is the ledger's action for its edits. `kind`: the rule removes the lines that pages.sql classified so. `setting` is the value
    of the option that enables it.
    """

    name: str
    option: str
    phase: Literal["repair", "line", "join", "document"]
    action: Literal["changed", "cut", "removed"]
    reason: str
    kind: str = ""
    setting: bool | str = True

    @property
    def script(self) -> Path:
        """The file with the SELECT of a rule of phase `repair` or `line`."""
        return SQL / ("furniture.sql" if self.kind else f"{self.option}.sql")

    @property
    def needs_pages(self) -> bool:
        """Whether the rule needs to know where pages end."""
        return bool(self.kind) or self.option == "repeated_pages"

    @property
    def moves(self) -> bool:
        """Whether the lines of the rule stand at the document's end after the other rules of the phase."""
        return self.setting == "end"

    def is_enabled(self, config: CleanConfig) -> bool:
        """Whether `config` enables the rule."""
        return bool(getattr(config, self.option) == self.setting)


# fmt: off
RULES = (
    Rule("encoding", "encoding", "repair", "changed", "wrong decoding (cafÃ©) and leftover entities (&amp;) are not the author's"),
    Rule("characters", "characters", "repair", "changed", "each character in one form; control characters and odd spaces mean nothing"),
    Rule("quotes", "quotes", "repair", "changed", "one kind of quotation mark, whichever the printer used"),
    Rule("long s", "long_s", "repair", "changed", "a letter that printers gave up; one word is not to have two spellings"),
    Rule("dashes", "dashes", "repair", "changed", "one kind of dash, whichever the typist used", setting="em"),
    Rule("digits", "digits", "line", "changed", "OCR confuses 1 with l and I, and 0 with O"),
    Rule("stamps", "stamps", "line", "cut", "what a scanner adds to each page or book is not the author's"),
    Rule("boilerplate", "boilerplate", "line", "cut", "notices of libraries and scanners are not the author's"),
    Rule("corrupted", "corrupted", "line", "cut", "nothing can be learned from symbol soup"),
    Rule("notes", "notes", "line", "cut", "a note interrupts the sentence that it explains", setting="drop"),
    Rule("notes moved", "notes", "line", "changed", "a note is worth reading, behind the text", setting="end"),
    Rule("repeated pages", "repeated_pages", "line", "cut", "a page scanned twice was written once"),
    Rule("running heads", "running_heads", "line", "cut", "a page's head or foot interrupts the sentence", kind="running head"),
    Rule("page numbers", "page_numbers", "line", "cut", "a page's number interrupts the sentence", kind="page number"),
    Rule("contents", "contents", "line", "cut", "a table of contents repeats titles without their chapters"),
    Rule("chapter titles", "chapter_titles", "line", "cut", "for models that should not learn titles", setting="drop"),
    Rule("chapter marks", "chapter_titles", "line", "changed", "marks tell titles from text (# CHAPTER I)", setting="mark"),
    Rule("hyphenation", "hyphenation", "join", "changed", "the printer broke the word, not the author"),
    Rule("hard wraps", "unwrap", "join", "changed", "the width of a page is no property of prose; verse keeps its lines"),
    Rule("misread words", "ocr", "join", "changed", "OCR confuses similar shapes (tirne, c1ay)"),
    Rule("layout", "", "document", "changed", "blank lines and spaces that no other rule accounts for"),
    Rule("too short", "minimum_characters", "document", "removed", "too little text is left to learn from"),
)
# fmt: on
RULE_NUMBER = {rule.name: number for number, rule in enumerate(RULES)}
