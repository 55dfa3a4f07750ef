"""Passages that cleaning must leave alone, by kind and language, and damage of prose that it must repair.

Words are those of spaCy's lists of stop words and of a few dozen nouns each; code is Python's own library and the queries of this project.
Each passage is a function of its kind, language and number: seeds are the strings "kind language number".
"""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from random import Random

NOUNS = {
    "en": "river mill stone bridge village summer keeper lamp garden window harbour winter letter morning mother island teacher machine "
    "evening market orchard history forest weather kitchen",
    "de": "Fluss Mühle Brücke Dorf Sommer Wächter Lampe Garten Fenster Hafen Winter Brief Morgen Mutter Insel Lehrer Maschine Abend Markt "
    "Geschichte Wald Küche Straße Häuser Gebäude Bücherei",
    "fr": "rivière moulin pierre pont village été gardien lampe jardin fenêtre port hiver lettre matin mère île maître machine soirée "
    "verger capitaine histoire forêt cuisine théâtre",
    "es": "río molino piedra puente pueblo verano guardián lámpara jardín ventana puerto invierno carta mañana madre isla maestro máquina "
    "tarde mercado huerto capitán historia bosque cocina corazón",
    "nl": "rivier molen steen brug dorp zomer wachter lamp tuin venster haven winter brief ochtend moeder eiland leraar machine avond "
    "boomgaard kapitein geschiedenis bos keuken verhaal",
    "ru": "река мельница камень мост деревня лето смотритель лампа сад окно гавань зима письмо утро мать остров учитель машина вечер рынок "
    "капитан история лес кухня погода дорога",
    "fa": "رودخانه آسیاب سنگ پل روستا تابستان نگهبان چراغ باغ پنجره بندر زمستان نامه صبح مادر جزیره آموزگار ماشین شب بازار کتاب‌ها "
    "خانه‌ها می‌رود نمی‌داند جنگل آشپزخانه",
    "hi": "नदी चक्की पत्थर पुल गाँव गर्मी रखवाला दीपक बगीचा खिड़की बंदरगाह सर्दी पत्र सुबह माता द्वीप शिक्षक मशीन शाम बाज़ार इतिहास जंगल क्‍या पक्‍का शक्‍ति",
    "ml": "പുഴ മില്ല് കല്ല് പാലം ഗ്രാമം വേനൽ കാവൽക്കാരൻ വിളക്ക് തോട്ടം ജനൽ തുറമുഖം ശീതകാലം കത്ത് രാവിലെ അമ്മ ദ്വീപ് അദ്ധ്യാപകൻ യന്ത്രം സന്ധ്യ "
    "ചരിത്രം കാട് അടുക്കള അവന്‍ അവള്‍ തമിഴ്‌നാട് പാല്‍",
}
PROGRAMS = (
    """def count(items):
    total = 0
    for item in items:
        if item["name"] == "SAY":
            total += NUMBER
    return total""",
    """function count(items) {
  // SAY
  let total = 0;
  items.forEach((item) => {
    total += item.price;
  });
  return total;
}""",
    """#!/bin/sh
set -eu
for file in *.txt; do
  grep --quiet 'SAY' "$file" && echo "$file"
done""",
    """{
  "name": "SAY",
  "items": [
    {"id": 1, "title": "NOUN"},
    {"id": NUMBER, "title": "&amp;"}
  ]
}""",
    """#include <stdio.h>

int main(void) {
    for (int i = 0; i < NUMBER; i++) {
        printf("%d  SAY\\n", i--);
    }
    return 0;
}""",
    """name: NOUN
on:
  push:
    branches: [main]
jobs:
  build:
    steps:
      - run: make --jobs NUMBER
      - run: make check""",
)
LANGUAGES = tuple(NOUNS)
SENTENCE_END = {"hi": "।"}
NAMES = ("Jean-Paul", "Marie-Claire", "Anglo-Saxon", "Rhein-Main", "Saint-Malo", "Stratford-Avon", "Mary-Ann", "Smith-Jones", "Baden-Baden")
AND = {"en": "and", "de": "und", "nl": "en"}
FIRST = ("Anna", "Peter", "Maria", "John", "Clara", "Henrik", "Ruth", "Leo")
LAST = ("Miller", "Keller", "Brook", "Stone", "Ward", "Novak", "Hart")
EMOJI = ("👩\u200d🔬", "👨\u200d👩\u200d👧", "🏳️\u200d🌈", "👩🏽\u200d🚀", "❤️\u200d🔥", "🧑\u200d🤝\u200d🧑")


@cache
def words_of(language: str) -> tuple[list[str], list[str]]:
    """Return common words and nouns of a language."""
    stop = sorted(import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS)
    common = [word for word in stop if word.replace("\u200c", "").isalpha() and len(word) > 1]
    return (common if len(common) > 20 else common + NOUNS[language].split()), NOUNS[language].split()


def phrase(language: str, random: Random, least: int, most: int) -> str:
    """Return some words, of which every third or so is a noun."""
    common, nouns = words_of(language)
    return " ".join(random.choice(nouns if random.random() < 0.4 else common) for _ in range(random.randint(least, most)))


def lower(text: str) -> str:
    """Return a text without capitals."""
    return text.lower()


def capital(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def sentence(language: str, random: Random) -> str:
    """Return a sentence of prose."""
    text = phrase(language, random, 7, 18)
    if random.random() < 0.5:
        text = text.replace(" ", ", ", 1) if random.random() < 0.3 else f"{text}, {phrase(language, random, 3, 8)}"
    return capital(text) + SENTENCE_END.get(language, ".")


def paragraph(language: str, random: Random, least: int = 3, most: int = 7) -> str:
    """Return a paragraph of prose on one line."""
    return " ".join(sentence(language, random) for _ in range(random.randint(least, most)))


def wrap(text: str, width: int, cut: Callable[[str, int], int] = lambda word, room: 0) -> str:
    """Return a text in lines of at most `width` characters; `cut(word, room)` says after how many letters to break a word, or 0."""
    lines = [""]
    for word in text.split(" "):
        room = width - len(lines[-1]) - 1
        if not lines[-1] or len(word) <= room:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
        elif at := cut(word, room - 1):
            lines[-1] += f" {word[:at]}-"
            lines.append(word[at:])
        else:
            lines.append(word)
    return "\n".join(lines)


@cache
def _sources() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    names = ("heapq", "bisect", "textwrap", "shlex", "queue", "fractions", "statistics", "csv", "string", "configparser", "calendar", "cmd")
    python = [(library / f"{name}.py").read_text("utf-8") for name in names]
    blocks = [
        block.strip("\n") for text in python for block in text.split("\n\n\n") if block.lstrip("\n").startswith(("def ", "class ", "@"))
    ]
    queries = [path.read_text("utf-8").strip() for path in sorted((Path(__file__).parents[2] / "data").rglob("*.sql"))]
    return [*blocks, *(query.split(";\n")[0] for query in queries)]


def code(language: str, random: Random) -> str:
    """Return lines of a program, as they are in it or written by a template with words of the language."""
    if random.random() < 0.6:
        lines = random.choice(_sources()).split("\n")
        # Behind comments of several lines that begin a query, which alone might be speech behind dashes.
        comments = sum(1 for _ in takewhile(lambda line: line.startswith("--"), lines))
        return "\n".join(lines[: comments + random.randint(4, 24)]).rstrip()
    written = random.choice(PROGRAMS).replace("SAY", phrase(language, random, 2, 4)).replace("NUMBER", str(random.randint(2, 99)))
    return written.replace("NOUN", random.choice(NOUNS[language].split()))


def fence(language: str, random: Random) -> str:
    """Return a program in a fence of Markdown."""
    mark = random.choice(("```", "~~~"))
    return f"{mark}{random.choice(('', 'python', 'text'))}\n{code(language, random)}\n{mark}"


def formula(language: str, random: Random) -> str:
    """Return formulas set apart, in TeX or in Unicode."""
    a, b, n = random.choice("abcxyz"), random.choice("fghuvw"), random.randint(2, 99)
    return random.choice((
        f"$$\n\\int_0^{{{n}}} {b}''({a}) \\, d{a} = {b}'({n}) -- {b}'(0)\n$$",
        f"\\[\n  \\sum_{{k=1}}^{{{n}}} k^2 = \\frac{{{n}({n}+1)}}{{2}}\n\\]",
        f"\\begin{{align}}\n  {a} &= {b} + {n} \\\\\n  {b} &\\le {a}^{{{n}}} - 1 \\\\\n    &\\ne 0\n\\end{{align}}",
        f"∑ {a}ᵢ² ≤ ∫ {b}(t) dt + {n}\n∀ε > 0 ∃δ > 0: |{a} − {b}| < δ ⇒ |{b}({a}) − {b}({n})| < ε",
        f"{a}² + {b}² = {n}²\n{a} = ({b} − {n}) / (2·{b}) ± √({n}² − 4·{a})",
        f"$${a}_{{{n}}} = {b}_{{{n - 1}}}^2 + \\sqrt{{{n}}}$$",
        "H₂SO₄ + 2 NaOH → Na₂SO₄ + 2 H₂O\nCaCO₃ ⇌ CaO + CO₂ ↑",
        f"{a} ∈ A ∩ B ⇔ {a} ∈ A ∧ {a} ∈ B\n¬({a} ∨ {b}) ≡ ¬{a} ∧ ¬{b}",
    ))  # fmt: skip


def verse(language: str, random: Random) -> str:
    """Return stanzas, the lines of which begin with capitals."""
    mark = ",;.!:" if random.random() < 0.7 else " "
    stanzas = [
        "\n".join(capital(phrase(language, random, 4, 8)) + random.choice(mark).strip() for _ in range(random.choice((2, 4, 4, 6, 14))))
        for _ in range(random.randint(1, 4))
    ]
    return "\n\n".join(stanzas)


def small_verse(language: str, random: Random) -> str:
    """Return a poem in small letters, or a haiku."""
    if random.random() < 0.5:
        return lower("\n".join(phrase(language, random, *size) for size in ((2, 3), (3, 5), (2, 3))))
    return lower(
        "\n\n".join("\n".join(phrase(language, random, 2, 7) for _ in range(random.randint(2, 6))) for _ in range(random.randint(1, 4)))
    )


def small_list(language: str, random: Random) -> str:
    """Return a list in small letters, with marks or without."""
    mark = random.choice(("", "", "- ", "* ", "• ", "– ", "1) ", "a. "))
    items = [lower(phrase(language, random, 1, random.choice((1, 3, 6)))) for _ in range(random.randint(3, 12))]
    if mark == "1) ":
        return "\n".join(f"{number}) {item}" for number, item in enumerate(items, 1))
    if mark == "a. ":
        return "\n".join(f"{letter}. {item}" for letter, item in zip("abcdefghijklmno", items, strict=False))
    if mark == "- " and random.random() < 0.5:
        return "\n".join(f"{'  ' * (number % 3 > 0)}- {item}" for number, item in enumerate(items))
    return "\n".join(mark + item for item in items)


def sections(language: str, random: Random) -> str:
    """Return numbered sections, each a line, or a number above its text."""
    count = random.randint(3, 9)
    letters = [f"({letter})" for letter in "abcdefghij"]
    romans = ["(i)", "(ii)", "(iii)", "(iv)", "(v)", "(vi)", "(vii)", "(viii)", "(ix)"]
    marks = random.choice(([f"({number})" for number in range(1, 11)], letters, romans, [f"[{number}]" for number in range(1, 11)]))
    style = random.choice(("line", "paragraph", "above"))
    if style == "above":
        texts = ["\n\n".join(paragraph(language, random, 1, 3) for _ in range(random.randint(1, 16))) for _ in range(count)]
        return "\n\n".join(f"{mark}\n\n{text}" for mark, text in zip(marks, texts, strict=False))
    between = "\n" if style == "line" else "\n\n"
    return between.join(f"{mark} {lower(phrase(language, random, 3, 14))}{random.choice(';,.')}" for mark in marks[:count])


def refrain(language: str, random: Random) -> str:
    """Return a song in which a refrain follows each stanza, with numbers above the stanzas or without."""
    size, marked, small = random.choice((4, 8, 16, 20)), random.random() < 0.5, random.random() < 0.3
    again = "\n".join(capital(phrase(language, random, 4, 6)) + random.choice(",!") for _ in range(random.randint(1, 2)))
    stanzas = [
        (f"{number}\n\n" if marked else "")
        + "\n".join(capital(phrase(language, random, 5, 9)) + random.choice((",", "", ";")) for _ in range(size))
        + f"\n\n{again}"
        for number in range(1, random.randint(5, 9))
    ]
    return lower("\n\n".join(stanzas)) if small else "\n\n".join(stanzas)


def prices(language: str, random: Random) -> str:
    """Return a list of goods with their prices."""
    _, nouns = words_of(language)
    goods = random.sample(nouns, random.randint(6, 14))
    amounts = sorted(random.randint(1, 400) for _ in goods) if random.random() < 0.5 else [random.randint(1, 99) for _ in goods]
    between = random.choice((" ", " ........ ", " . . . . ", " … ", ": ", " - "))
    unit = random.choice(("", "", "", " €", ".50"))
    rows = "\n".join(f"{good}{between}{amount}{unit}" for good, amount in zip(goods, amounts, strict=True))
    return f"Contents\n\n{rows}" if random.random() < 0.1 else rows


def joiners(language: str, random: Random) -> str:
    """Return sentences with what joins letters or pictures without a space."""
    text = [paragraph(language, random, 1, 2).replace(" ", f" {random.choice(EMOJI)} ", 1) for _ in range(3)]
    return "\n\n".join(text)


def hyphens(language: str, random: Random) -> str:
    """Return a paragraph that was broken behind hyphens which are the author's."""
    lines = [capital(phrase(language, random, 5, 8))]
    for _ in range(random.randint(3, 7)):
        kind = random.random()
        if kind < 0.6:
            first, _, second = random.choice(NAMES).partition("-")
        elif kind < 0.8 or language not in AND:
            first, second = random.choice((("X", "ray"), ("T", "shirt"), ("USB", "Kabel"), ("COVID", "19"), ("1914", "1918")))
        else:
            first, second = random.choice(NOUNS[language].split()), AND[language]
        lines[-1] += f" {first}-"
        lines.append(f"{second} {phrase(language, random, 6, 9)}")
    return "\n".join(lines) + "."


def joined(passage: str, language: str) -> str:
    """Return a pattern for a passage of `hyphens`, any lines of which may be joined: behind a hyphen without a space, but before "and"."""
    following = AND.get(language, "?")
    return (
        re.escape(passage)
        .replace(f"\\-\\\n{following}\\ ", f"\\-[\n ]{following}\\ ")
        .replace("\\-\\\n", "\\-\n?")
        .replace("\\\n", "[\n ]")
    )


def begins_like_a_notice(language: str, random: Random) -> str:
    """Return an author's paragraph that begins with the words of a notice."""
    name = f"{random.choice(FIRST)} {random.choice(LAST)}"
    text = lower(phrase(language, random, 6, 14))
    return random.choice((
        f"Prepared by {text}.", f"Produced by {text}, {text}.", f"Prepared by {name}, this dish was {text}.", f"Generated by {text}.",
        f"Please return {text}.", f"This book is in the public domain of {text}.", f"Scanned by {text[:40]}",
        f"Digitized by {text[:40]}",
        f"Prepared for {name} by {text}.", f"Transcribed from {text}, {text}.", f"Produced by the wind, {text}.",
        f"All rights reserved for {text}.", f"Date due to {text}.", f"Property of the old library, {text}.",
        f"The end of {text} by {name}.",
    ))  # fmt: skip


def table(language: str, random: Random) -> str:
    """Return a table of Markdown, or one with columns of spaces or tabs."""
    _, nouns = words_of(language)
    rows = [[random.choice(nouns), str(random.randint(1, 999)), random.choice(nouns)] for _ in range(random.randint(3, 9))]
    style = random.choice(("pipes", "spaces", "tabs"))
    if style == "pipes":
        return "\n".join(["| a | b | c |", "|---|---:|---|", *("| " + " | ".join(row) + " |" for row in rows)])
    if style == "tabs":
        return "\n".join("\t".join(row) for row in rows)
    return "\n".join(f"{row[0]:<16}{row[1]:>6}  {row[2]}" for row in rows)


KINDS: dict[str, Callable[[str, Random], str]] = {
    "code": code, "fence": fence, "formula": formula, "verse": verse, "small verse": small_verse, "small list": small_list,
    "sections": sections, "refrain": refrain, "prices": prices, "joiners": joiners, "hyphens": hyphens,
    "like a notice": begins_like_a_notice, "table": table,
}  # fmt: skip
EXACT = ("code", "fence", "formula", "table")
"""In these every space counts."""


def passages(language: str, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, passage, document) of each kind: alone, or between paragraphs of prose with lines of one width or none."""
    for kind, write in KINDS.items():
        for number in range(count):
            random = Random(f"{kind} {language} {number}")
            passage, around = write(language, random), random.choice(("alone", "lines", "wrapped"))
            before, after = (paragraph(language, random) for _ in range(2))
            if around == "wrapped":
                before, after = (wrap(text, 70) for text in (before, after))
            parts = [passage] if around == "alone" else [passage, after] if kind == "like a notice" else [before, passage, after]
            yield kind, passage, "\n\n".join(parts)


def examples(language: str) -> list[str]:
    """Return real sentences of a language."""
    found: list[str] = import_module(f"spacy.lang.{language}.examples").sentences
    return found


def dump(passage: str) -> str:
    """Return a passage on one line, to be shown."""
    return json.dumps(passage, ensure_ascii=False)
