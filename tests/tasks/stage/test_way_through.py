"""The page that follows one call names the files that it passes, in order and few."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import tasks.stage

ROOM = Path(tasks.stage.__file__).parent


def test_the_page_names_at_most_nine_files_that_exist_and_what_stands_in_them() -> None:
    page = tasks.stage.__doc__ or ""
    steps = re.findall(r"^\d\. `([\w/]+\.py)`(.*?)(?=^\d\. |^Then back)", page, re.MULTILINE | re.DOTALL)
    assert 5 <= len(steps) <= 7  # and the chapter before them, and the stage's file after them
    for file, words in steps:
        text = (ROOM / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", words):
            assert re.search(rf"\b(?:def|class) {name}\b", text), f"{name} in {file}"


def test_each_file_on_the_way_leads_to_the_next() -> None:
    page = tasks.stage.__doc__ or ""
    files = re.findall(r"^\d\. `([\w/]+\.py)`", page, re.MULTILINE)
    for here, there in itertools.pairwise(files):
        callers = (ROOM / here).read_text(encoding="utf-8") + (ROOM / "stage.py").read_text(encoding="utf-8")
        assert Path(there).stem in callers, f"{here} does not name {there}"
