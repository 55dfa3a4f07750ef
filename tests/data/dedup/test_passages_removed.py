from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from data.dedup.config import DedupConfig, LineRule, PageRule, ParagraphRule
from data.dedup.texts import Repeat, cut
from tests.data.dedup.books import edited, kept_texts, prose, run


def _printed_twice(text: str, first: int, last: int, second: str | None = None) -> str:
    """`text` with its words [first, last) scanned twice; a page need not begin with a paragraph."""
    pieces = text.replace("\n\n", " \n\n ").split(" ")
    page = " ".join(pieces[first:last])
    joined = " ".join([*pieces[:last], second if second is not None else page, *pieces[last:]])
    return joined.replace(" \n\n ", "\n\n")


def test_a_repeated_page_is_cut_to_the_word_even_within_a_paragraph(tmp_path: Path) -> None:
    text = prose(1, paragraphs=12)
    output, metrics = run(tmp_path, {"a": _printed_twice(text, 130, 290)})
    assert kept_texts(output) == {"a": text}
    assert metrics["pages_removed"] == 1
    (row,) = [row for row in pq.read_table(output / "ledger.parquet").to_pylist() if row["rule"] == "page"]
    assert row["action"] == "cut" and row["characters"] == len(_printed_twice(text, 130, 290)) - len(text)


def test_a_repeated_page_with_scanning_errors_is_cut(tmp_path: Path) -> None:
    text = prose(2, paragraphs=12)
    page = " ".join(text.replace("\n\n", " \n\n ").split(" ")[130:290])
    misread = edited(page.replace(" \n\n ", "\n\n"), 0.02).replace("\n\n", " \n\n ")
    output, _ = run(tmp_path, {"a": _printed_twice(text, 130, 290, misread)})
    assert kept_texts(output) == {"a": text}


def test_a_page_scanned_three_times_stays_once(tmp_path: Path) -> None:
    text = prose(3, paragraphs=12)
    twice = _printed_twice(text, 130, 290)
    assert kept_texts(run(tmp_path, {"a": _printed_twice(twice, 130, 290)})[0]) == {"a": text}


def test_refrains_short_repeats_and_far_quotations_stay(tmp_path: Path) -> None:
    refrain = "And the river ran down to the sea, down to the sea, and nobody asked it why."
    song = "\n\n".join(f"{prose(k, paragraphs=1)}\n\n{refrain}" for k in range(12))
    litany = "\n\n".join(["Lord, have mercy upon us."] * 60)
    quoted = prose(50, paragraphs=1, sentences=12)
    far = quoted + "\n\n" + prose(51, paragraphs=30) + "\n\nHe wrote: " + quoted
    texts = {"far": far, "litany": litany, "song": song}
    assert kept_texts(run(tmp_path, texts, DedupConfig(paragraph=ParagraphRule(enabled=False)))[0]) == texts


def test_a_far_copy_is_cut_if_max_apart_allows_it(tmp_path: Path) -> None:
    quoted = prose(50, paragraphs=1, sentences=12)
    far = quoted + "\n\n" + prose(51, paragraphs=30) + "\n\n" + quoted + "\n\nEnd."
    config = DedupConfig(page=PageRule(max_apart=100_000), paragraph=ParagraphRule(enabled=False))
    assert kept_texts(run(tmp_path, {"a": far}, config)[0])["a"] == quoted + "\n\n" + prose(51, paragraphs=30) + "\n\nEnd."


def test_a_cut_keeps_paragraph_breaks_and_the_quotes_of_neighbours() -> None:
    assert cut('One two.\n\n"Three four."\n\n"Five six."', [Repeat(3, 2)])[0] == 'One two.\n\n"Five six."'
    assert cut("One two three\n\nfour five.", [Repeat(2, 2)])[0] == "One\n\nfour five."
    assert cut("One two three.", [Repeat(2, 2)])[0] == "One"
    assert cut("One two three.", [Repeat(1, 2)])[0] == "three."
    assert cut("One two three four five.", [Repeat(2, 2), Repeat(3, 2)])[0] == "One five."


def test_a_long_paragraph_stays_only_where_it_is_first_and_short_ones_everywhere(tmp_path: Path) -> None:
    licence, short = prose(9, paragraphs=1, sentences=6), "The end."
    texts = {name: f"{prose(seed)}\n\n{licence}\n\n{short}" for seed, name in enumerate("abc")}
    output, metrics = run(tmp_path, texts)
    assert kept_texts(output) == {"a": texts["a"], "b": f"{prose(1)}\n\n{short}", "c": f"{prose(2)}\n\n{short}"}
    assert metrics["paragraphs_removed"] == 2
    details = {row["id"]: row["detail"] for row in pq.read_table(output / "ledger.parquet").to_pylist() if row["rule"] == "paragraph"}
    assert details == {"b": "first in a", "c": "first in a"}


def test_within_documents_only_the_same_book_is_searched_for_paragraphs(tmp_path: Path) -> None:
    part = prose(9, paragraphs=1, sentences=6)
    far = prose(4, paragraphs=30)
    texts = {"a": f"{part}\n\n{far}\n\n{part}", "b": f"{prose(5)}\n\n{part}"}
    output, _ = run(tmp_path, texts, DedupConfig(paragraph=ParagraphRule(scope="document")))
    assert kept_texts(output) == {"a": f"{part}\n\n{far}", "b": texts["b"]}


def test_a_line_of_many_documents_is_kept_once_and_one_of_two_everywhere(tmp_path: Path) -> None:
    many, two = "Printed for the booksellers of the old town.", "With six plates and a map of the river."
    texts = {name: f"{prose(seed, 1)}\n{many}\n\n{prose(seed + 9, 1)}" for seed, name in enumerate("abc")}
    texts |= {name: f"{texts[name]}\n\n{two}\n\nEnd." for name in "ab"}
    config = DedupConfig(line=LineRule(enabled=True), paragraph=ParagraphRule(enabled=False))
    output, metrics = run(tmp_path, texts, config)
    assert kept_texts(output) == {"a": texts["a"], **{name: texts[name].replace(many, "").replace("\n\n\n", "\n\n") for name in "bc"}}
    assert metrics["lines_removed"] == 2
    assert kept_texts(run(tmp_path / "off", texts)[0]) == texts


def test_a_refrain_stays_unless_lines_of_one_document_are_asked_for(tmp_path: Path) -> None:
    refrain = "And the river ran down to the sea, down to the sea."
    song = f"{prose(1, 1)}\n{refrain}\n\n{prose(2, 1)}\n{refrain}\n\n{prose(3, 1)}"
    for scope, expected in (("corpus", song), ("document", f"{prose(1, 1)}\n{refrain}\n\n{prose(2, 1)}\n\n{prose(3, 1)}")):
        config = DedupConfig(line=LineRule.model_validate({"enabled": True, "scope": scope}))
        assert kept_texts(run(tmp_path / scope, {"a": song}, config)[0]) == {"a": expected}
