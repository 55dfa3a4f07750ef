"""The published heuristics as configuration; every default is the published threshold. Cheap to import.

Words are separated by white space and include adjacent punctuation. Blank lines don't count. A duplicate is a later occurrence in the same
document: of two equal lines one is a duplicate. Shares of characters count those in lines, paragraphs or words, without separators. A rule
is switched off by a value that nothing can fail: 0 for a minimum, 1 for a maximum share.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


def _share(published: float, of: str) -> float:
    value: float = Field(published, ge=0, le=1, description=f"a document with a larger share is removed; {of}")
    return value


class GopherQuality(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Gopher's quality rules (Rae et al. 2021, Scaling Language Models, arXiv:2112.11446, appendix A1.1).

    Where the paper leaves a choice: words are split at white space, so they include punctuation; a bullet is one of •‣◦●▪, or a hyphen or
    asterisk before a space, since a bare hyphen begins speech in many languages; each stop word counts once, in any case.
    """

    enabled: bool = Field(False, description="apply Gopher's quality rules, which are made for English")
    minimum_words: int = Field(50, ge=0, description="a document with fewer is removed; words")
    maximum_words: int = Field(100_000, ge=1, description="a document with more is removed; raise it for books; words")
    minimum_word_length: float = Field(3.0, ge=0, description="a document whose words are shorter on average is removed; characters")
    maximum_word_length: float = Field(10.0, gt=0, description="a document whose words are longer on average is removed; characters")
    maximum_hashes: float = Field(0.1, ge=0, description="a document with more # for each word is removed; ratio")
    maximum_ellipses: float = Field(0.1, ge=0, description="a document with more ... or … for each word is removed; ratio")
    maximum_bullet_lines: float = _share(0.9, "fraction of lines that begin with a bullet")
    maximum_ellipsis_lines: float = _share(0.3, "fraction of lines that end in an ellipsis")
    minimum_alphabetic_words: float = Field(
        0.8, ge=0, le=1, description="a document with a smaller share is removed; fraction of words with a letter in them"
    )
    minimum_stop_words: int = Field(
        2, ge=0, le=8, description="a document with fewer of the, be, to, of, and, that, have, with is removed; different words"
    )


class GopherRepetition(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Gopher's repetition rules (Rae et al. 2021, arXiv:2112.11446, table A1).

    Where the paper leaves a choice: a character covered by several n-grams counts once, also for the most frequent n-gram; the first
    occurrence of a repeated n-gram is not a duplicate; an n-gram that occurs once repeats nothing, however short its document; of equally
    frequent n-grams the longest counts.
    """

    enabled: bool = Field(False, description="apply Gopher's repetition rules")
    lines: float = _share(0.30, "fraction of lines that occur earlier in the document")
    paragraphs: float = _share(0.30, "fraction of paragraphs that occur earlier in the document")
    line_characters: float = _share(0.20, "fraction of characters in lines that occur earlier in the document")
    paragraph_characters: float = _share(0.20, "fraction of characters in paragraphs that occur earlier in the document")
    top_2_grams: float = _share(0.20, "fraction of characters in the most frequent run of 2 words")
    top_3_grams: float = _share(0.18, "fraction of characters in the most frequent run of 3 words")
    top_4_grams: float = _share(0.16, "fraction of characters in the most frequent run of 4 words")
    repeated_5_grams: float = _share(0.15, "fraction of characters in runs of 5 words that occur earlier in the document")
    repeated_6_grams: float = _share(0.14, "fraction of characters in runs of 6 words that occur earlier in the document")
    repeated_7_grams: float = _share(0.13, "fraction of characters in runs of 7 words that occur earlier in the document")
    repeated_8_grams: float = _share(0.12, "fraction of characters in runs of 8 words that occur earlier in the document")
    repeated_9_grams: float = _share(0.11, "fraction of characters in runs of 9 words that occur earlier in the document")
    repeated_10_grams: float = _share(0.10, "fraction of characters in runs of 10 words that occur earlier in the document")


class C4(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """C4's rules (Raffel et al. 2020, Exploring the Limits of Transfer Learning, JMLR 21:140, section 2.2).

    They are made for web pages and cut lines out of documents: all verse is removed, and headings too. Where paper and published code
    differ, these follow the paper: a line may end in an ellipsis, and long words cut no line. A sentence ends with a terminal mark, with
    the quotes and brackets after it, before white space or the line's end. Blank lines between kept lines stay, and so do citation marks;
    the list of bad words is `blocked`, and repeated spans are left to deduplication.
    """

    enabled: bool = Field(False, description="apply C4's rules")
    terminal_punctuation: bool = Field(True, description="cut lines that don't end in a full stop, exclamation, question or quotation mark")
    minimum_line_words: int = Field(3, ge=0, description="cut lines with fewer; words")
    javascript: bool = Field(True, description="cut lines with the word Javascript")
    policies: bool = Field(True, description="cut lines about terms of use, privacy policies and cookies")
    lorem_ipsum: bool = Field(True, description="remove documents with the words lorem ipsum")
    curly_brackets: bool = Field(True, description="remove documents with a curly bracket")
    minimum_sentences: int = Field(5, ge=0, description="remove documents of which fewer are left; sentences")


class FineWeb(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """FineWeb's rules (Penedo et al. 2024, The FineWeb Datasets, arXiv:2406.17557, section 3.6 on heuristic filters).

    The thresholds are the paper's; the published code uses 0.01 for duplicated lines. A line ends with punctuation if its last characters
    are a terminal mark and the quotes or brackets that close after it. A value equal to a bound fails, as published, so null switches a
    rule off.
    """

    enabled: bool = Field(False, description="apply FineWeb's rules")
    minimum_punctuated_lines: float | None = Field(
        0.12, ge=0, le=1, description="a document with this share or a smaller one is removed; fraction of lines that end with punctuation"
    )
    maximum_duplicate_characters: float | None = Field(
        0.1,
        gt=0,
        le=1,
        description="a document with this share or more is removed; fraction of characters in lines that occur earlier in the document",
    )
    short_line: int = Field(30, ge=1, description="a line with fewer counts as short; characters")
    maximum_short_lines: float | None = Field(
        0.67, gt=0, le=1, description="a document with this share or a larger one is removed; fraction of lines that are short"
    )


POLICIES: tuple[str, ...] = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
TOP_SIZES: tuple[int, ...] = (2, 3, 4)
REPEATED_SIZES: tuple[int, ...] = (5, 6, 7, 8, 9, 10)
