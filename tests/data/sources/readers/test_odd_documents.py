"""Documents whose markup is right and rarely seen: no word of their author is lost, and what is left out is told."""

from __future__ import annotations

import io
import json
import time

import pytest

from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record
from data.sources.readers.registry import READERS


def _read(kind: str, content: str) -> list[ReaderOutput]:
    return list(READERS[kind](io.BytesIO(content.encode()), ReaderOptions(), lambda _: True))


def test_a_page_of_blank_lines_in_latex_is_read_at_once() -> None:
    started = time.process_time()
    (record,) = _read("tex", "It is lit." + "\n" * 50_000 + "It is out.")
    assert getattr(record, "text", "") == "It is lit.\n\nIt is out." and time.process_time() - started < 5


def _text(kind: str, content: str) -> str:
    (record,) = _read(kind, content)
    assert isinstance(record, Record)
    return record.text


EXERCISE = "---\n## Exercise 3\n\nExplain why.\n\n---\nThe end."


@pytest.mark.parametrize("source", [EXERCISE, EXERCISE.replace("\n", "\r\n")])
def test_text_between_two_rules_is_no_front_matter(source: str) -> None:
    assert _text("md", source) == "Exercise 3\n\nExplain why.\n\nThe end."


@pytest.mark.parametrize(
    "matter", ["title: A", "# of pandoc\n\ntitle: |\n  A\n\n  B\n'tags':\n- a\n- b\nurl: http://x.org", "date:\n  - 1"]
)
def test_front_matter_of_keys_is_no_text(matter: str) -> None:
    for end in ("---", "..."):
        assert _text("md", f"---\n{matter}\n{end}\nThe text.") == "The text."


def test_a_cell_of_a_notebook_has_no_front_matter() -> None:
    cells = [{"cell_type": "markdown", "source": source} for source in (EXERCISE, "---\nnote: this\n\n---\n")]
    assert _text("ipynb", json.dumps({"cells": cells})) == "Exercise 3\n\nExplain why.\n\nThe end.\n\nnote: this"
