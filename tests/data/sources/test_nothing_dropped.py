"""Every paragraph of a document is in its text, or a row names what was dropped.

The first seeds, one for each plant, are read in the usual suite. All 3,000:
    python -m pytest -m slow tests/data/sources/test_nothing_dropped.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.data.sources.damaged_documents import PLANTS, planted
from tests.data.sources.reading import read_all, write

# Plants whose words can all be delivered, so that a row alone would not do.
DELIVERED = (
    "tex_href", "tex_verb", "tex_verbatim", "tex_listing", "tex_unknown", "tex_open", "tex_dollar", "rtf_box", "rtf_note", "rtf_cyrillic",
    "rtf_japanese", "epub_extension", "epub_type", "tar_joined", "tgz_joined", "gz_members", "late_text", "late_table", "late_japanese",
    "quote_tab", "one_column", "label_latin", "label_cyrillic", "label_utf8", "cut_utf8", "cut_utf16", "tex_macro", "tex_environment",
    "tex_endless", "html_behind", "html_joined", "html_poem", "html_list", "html_caption", "html_center", "epub_fallback", "returns",
    "unlabelled", "tex_either", "tex_or",
)  # fmt: skip


ALWAYS = ("#request", "#preamble", "#tables of contents")  # rows that every file of a format has, so they explain nothing


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _lost(seeds: Iterable[int], folder: Path) -> dict[str, list[str]]:
    """Read the files of some seeds. Return by file the paragraphs for which there is neither text nor row."""
    files = {one.name: one for one in map(planted, seeds)}
    found = read_all(write(folder / "shelf", {name: one.content for name, one in files.items()}), folder / "out")
    texts, rows = dict.fromkeys(files, ""), Counter[str]()
    for path, text in found.texts.items():
        texts[path.partition("#")[0].partition("/")[0]] += _squeezed(text)
    for path in (*found.reasons, *found.left_out):
        rows[path.partition("#")[0].partition("/")[0]] += not path.endswith(ALWAYS)
    missing = {
        name: [words for words in one.paragraphs if _squeezed(words) not in texts[name]]
        for name, one in files.items()
        if not rows[name] or any(f"_{kind}." in name for kind in DELIVERED)
    }
    return {name: words for name, words in missing.items() if words}


def test_every_paragraph_is_in_the_text_or_a_row_names_what_was_dropped(tmp_path: Path) -> None:
    assert not _lost(range(len(PLANTS)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 3000, 500))
def test_of_three_thousand_damaged_documents_no_paragraph_is_lost(tmp_path: Path, start: int) -> None:
    assert not _lost(range(start, start + 500), tmp_path)
