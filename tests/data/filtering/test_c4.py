"""C4's rules: which lines are cut, which documents are removed, and that every cut line is kept word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.filtering.filter_runner import run

FIVE = "The river ran on. The mill stood still. Who was there? Nobody came. It rained."
CUT = [
    ("A line that ends in nothing", "c4 terminal punctuation"),
    ("Two words.", "c4 line words"),
    ("Please switch on JavaScript to see this page.", "c4 javascript"),
    ("This site uses cookies to serve you better.", "c4 policies"),
    ("Read our Privacy Policy and be glad.", "c4 policies"),
]
STAYS = ["He came and went...", 'She said "no more."', "Was it so late?", "It was 3.5 o'clock!", "  The end of the line.\u00a0"]


@pytest.mark.parametrize(("line", "rule"), CUT)
def test_a_line_that_breaks_a_rule_is_cut_and_kept_word_for_word(line: str, rule: str, tmp_path: Path) -> None:
    done = run(tmp_path, {"a": f"{FIVE}\n{line}\nAnd so it went on."}, {"c4": {}})
    assert done.texts == {"a": f"{FIVE}\nAnd so it went on."}
    (row,) = done.table(f"removed/{rule.replace(' ', '_')}")
    assert (row["id"], row["place"], row["text"]) == ("a", 2, line) and done.metrics[f"cut_{rule.replace(' ', '_')}"] == 1
    assert [(r["action"], r["rule"], r["net"]) for r in done.ledger] == [
        ("cut", rule, len(line)), ("changed", "c4 line ends", 1), ("kept", "", 0),
    ]  # fmt: skip


@pytest.mark.parametrize("line", STAYS)
def test_a_line_that_ends_a_sentence_stays_as_it_is(line: str, tmp_path: Path) -> None:
    text = f"{FIVE}\n{line}"
    assert run(tmp_path, {"a": text}, {"c4": {}}).texts == {"a": text}


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (f"{FIVE}\nLorem Ipsum dolor sit amet.", ("c4 lorem ipsum", "lorem_ipsum 1 > 0")),
        (f"{FIVE}\nif (a) {{ return; }}", ("c4 curly brackets", "curly_brackets 1 > 0")),
        ("One is here. Two is here. Three is here? Four is here!", ("c4 sentences", "sentences 4 < 5")),
        ("No end\nNo end here", ("c4 sentences", "sentences 0 < 5")),
        (FIVE, ("", "")),
    ],
)
def test_a_document_is_removed_for_its_words_or_for_too_few_sentences(text: str, fate: tuple[str, str], tmp_path: Path) -> None:
    assert run(tmp_path, {"a": text}, {"c4": {}}).fates() == {"a": fate}


@pytest.mark.parametrize(
    ("off", "line"),
    [("terminal_punctuation", CUT[0][0]), ("javascript", CUT[2][0]), ("policies", CUT[3][0]), ("curly_brackets", "So {it} is.")],
)
def test_any_one_rule_can_be_switched_off(off: str, line: str, tmp_path: Path) -> None:
    text = f"{FIVE}\n{line}"
    assert run(tmp_path, {"a": text}, {"c4": {off: False}}).texts == {"a": text}


def test_paragraphs_stay_separate_and_an_empty_text_is_removed(tmp_path: Path) -> None:
    text = f"Menu\n\n{FIVE}\n\nHome\n\nAbout\n\nAnd so it went on.\n\nFoot"
    done = run(tmp_path, {"a": text, "b": "Menu"}, {"c4": {"minimum_sentences": 0}})
    assert done.texts == {"a": f"{FIVE}\n\nAnd so it went on."} and done.fates()["b"] == ("c4 empty", "no line is left")


LINES = st.sampled_from(
    [FIVE, "", "", " ", "menu", "It is so.", "no end at all", "He said so.\r", "\u2003", "use cookies here now.", "{", "1."]
)


def _stays(line: str, config: dict[str, Any]) -> bool:
    words = line.split()
    lower = line.lower()
    return not words or (
        line.rstrip()[-1] in ".!?\"'”’»" and len(words) >= config["minimum_line_words"]
        and "javascript" not in lower and "use cookies" not in lower
    )  # fmt: skip


@settings(max_examples=25)
@given(texts=st.lists(st.lists(LINES, max_size=9).map("\n".join), min_size=1, max_size=8), words=st.integers(0, 4))
def test_the_result_for_any_text_equals_that_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], words: int
) -> None:
    config = {"minimum_line_words": words, "minimum_sentences": 0, "curly_brackets": False}
    given_texts = {f"{number:02}": text for number, text in enumerate(texts)}
    done = run(tmp_path_factory.mktemp("c4"), given_texts, {"c4": config})
    for name, text in given_texts.items():
        left = [line for line in text.split("\n") if _stays(line, config)]
        if len(left) < len(text.split("\n")):
            text = "\n".join(left)
            while "\n\n\n" in text:
                text = text.replace("\n\n\n", "\n\n")
            text = text.strip("\n")
        assert done.texts.get(name, "") == (text if text.strip() else "")
