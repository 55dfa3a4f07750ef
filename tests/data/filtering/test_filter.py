"""The properties of the stage as a whole: everything is accounted for, in order, and only texts and recipe decide."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents import stream
from data.filtering.config import FilterConfig
from tests.data.filtering.filter_runner import Filtered, run

EVERY = {
    "language": {"keep": ["en", "und", "fr"]}, "length": {"minimum_characters": 2}, "symbols": {}, "gopher_repetition": {},
    "gopher_quality": {"minimum_words": 5}, "c4": {"minimum_sentences": 1}, "fineweb": {}, "blocked": {"phrases": ["casino"]},
    "pii": {"regions": ["US"], "card": "drop"},
}  # fmt: skip
LINES = st.sampled_from(
    ["The river ran past the mill, and that was all to be said of it.", "Menu", "", "Write to me@mill.org and have it with you.", "casino",
     "La rivière passait devant le moulin et sous le vieux pont.", "so it goes so it goes so it goes.", "#@ <> || {}", "4111111111111111",
     "Nobody knew the name of that dog, and he asked him to be good.", "\u00a0\r", "And one went with them to the old bridge."]
)  # fmt: skip
BOOKS = st.lists(st.lists(LINES, max_size=14).map("\n".join), max_size=8)


def _bytes(done: Filtered) -> dict[str, str]:
    return {str(p.relative_to(done.output)): hashlib.sha256(p.read_bytes()).hexdigest() for p in done.output.rglob("*") if p.is_file()}


def _given(books: list[str]) -> dict[str, str]:
    return {f"{number:02}": book for number, book in enumerate(books)}


@settings(max_examples=8)
@given(BOOKS)
def test_every_document_and_character_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, books: list[str]) -> None:
    texts = _given(books)
    done = run(tmp_path_factory.mktemp("law"), texts, EVERY)
    removed = {path.stem: done.table(f"removed/{path.stem}") for path in (done.output / "removed").glob("*")}
    assert set(done.fates()) == set(texts)
    for name, text in texts.items():
        rows = [row for row in done.ledger if row["id"] == name]
        closing = [row for row in rows if row["action"] in ("kept", "removed")]
        assert closing == [rows[-1]] and len(text) == len(done.texts.get(name, "")) + sum(row["net"] for row in rows)
        assert (rows[-1]["action"] == "kept") == (name in done.texts) and rows[-1]["characters"] - rows[-1]["net"] == len(
            done.texts.get(name, "")
        )
        whole = [row for table in removed.values() for row in table if row["id"] == name and row["place"] == 0]
        assert [len(row["text"]) for row in whole] == ([] if name in done.texts else [rows[-1]["net"]])
        cut = [row["text"] for table in removed.values() for row in table if row["id"] == name and row["place"]]
        assert sum(map(len, cut)) == sum(row["net"] for row in rows if row["action"] == "cut")
    counts = done.metrics
    assert counts["documents_in"] == counts["documents"] + counts["removed"] == len(texts)
    assert counts["removed"] == sum(count for name, count in counts.items() if name.startswith("removed_"))
    assert counts["characters_in"] == sum(map(len, texts.values())) and counts["characters"] == sum(map(len, done.texts.values()))


@settings(max_examples=3)
@given(BOOKS)
def test_threads_and_batches_change_no_byte_and_other_documents_change_no_verdict(
    tmp_path_factory: pytest.TempPathFactory, books: list[str]
) -> None:
    texts, folder = _given(books), tmp_path_factory.mktemp("same")
    first = run(folder / "1", texts, EVERY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BATCH_CHARACTERS", 100)
        many = run(folder / "2", texts, EVERY, threads=3)
    assert first.ledger == many.ledger and first.texts == many.texts
    assert _bytes(first) == _bytes(run(folder / "3", texts, EVERY, threads=2))
    alone = run(folder / "4", {name: text for name, text in texts.items() if name.endswith("1")}, EVERY)
    assert all(first.fates()[name] == fate for name, fate in alone.fates().items())


def test_an_empty_shard_gives_empty_files(tmp_path: Path) -> None:
    done = run(tmp_path, {}, EVERY)
    assert (done.texts, done.ledger, done.table("edits")) == ({}, [], [])
    assert done.metrics == {"documents_in": 0, "documents": 0, "removed": 0, "characters_in": 0, "characters": 0}


def test_the_first_rule_in_order_removes_and_later_groups_see_what_earlier_ones_left(tmp_path: Path) -> None:
    texts = {"a": "casino " * 60, "b": "Menu\nThe miller and his dog went with the children to the river, and that was it."}
    groups: dict[str, Any] = {"blocked": {"phrases": ["casino", "menu"]}, "c4": {"minimum_sentences": 1}}
    assert run(tmp_path, texts, groups | {"gopher_repetition": {}}).fates()["a"][0] == "gopher top 2-grams"
    assert run(tmp_path, texts, groups).fates() == {"a": ("c4 sentences", "sentences 0 < 1"), "b": ("", "")}
    assert run(tmp_path, texts, {"blocked": groups["blocked"]}).fates()["b"][0] == "blocked phrases"


@pytest.mark.parametrize("group", FilterConfig.model_fields)
def test_the_stage_is_active_if_any_group_is_enabled_and_none_is_by_default(group: str) -> None:
    needs = {"blocked": {"phrases": ["casino"]}, "quality": {"positive": ["a"], "negative": ["b"]}}
    assert not FilterConfig().active and FilterConfig.model_validate({group: {"enabled": True, **needs.get(group, {})}}).active


def test_the_quality_filter_without_a_classifier_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no classifier; run stage quality"):
        run(tmp_path, {"a": "b"}, {"quality": {"positive": ["a"], "negative": ["b"]}})
