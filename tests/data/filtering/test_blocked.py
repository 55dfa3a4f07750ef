"""Block lists: documents by name, documents by phrases, and lists that can't be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.documents.words import spans
from data.filtering.config import BlockedConfig, FilterConfig
from data.filtering.observed_files import BlockListError, FileChanged, ObservedFiles, observed_digests
from tests.data.filtering.filter_runner import run


def test_documents_are_blocked_by_glob_and_by_id(tmp_path: Path) -> None:
    texts = dict.fromkeys(("0123456789abcdef", "b", "c", "d"), "text")
    paths = {"b": "https://spam.example/a/page.html", "c": "good/page.html", "d": "good/bad.txt"}
    (tmp_path / "names.txt").write_text("# whole sites\n*//spam.example/*\n\n  test/good/bad.txt  \n")
    listed = {"documents": ["0123456789abcdef"], "document_files": ["names.txt"]}
    done = run(tmp_path, texts, {"blocked": listed}, paths=paths)
    assert set(done.texts) == {"c"} and done.fates()["b"][1] == "test/https://spam.example/a/page.html is listed as *//spam.example/*"


def test_phrases_count_as_whole_words_whatever_their_case_and_punctuation(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("Casino\nfree  money!\n", encoding="utf-8-sig")
    texts = {
        "a": "CASINO, and free\nmoney. Free-money!", "b": "Casinos are freely moneyed; free of money.",
        "c": "casino casino", "d": "free free money " + "word " * 100,
    }  # fmt: skip
    done = run(tmp_path, texts, {"blocked": {"phrase_files": ["phrases.txt"], "hits": 2}})
    assert set(done.texts) == {"b", "d"}
    assert done.fates()["a"] == ("blocked phrases", "blocked_phrases 3 >= 2, in 6 words, most often 'free  money!'")
    assert run(tmp_path, texts, {"blocked": {"phrases": ["casino", "free money"], "share": 0.4}}).fates()["d"] == ("", "")


WORDS = st.lists(st.sampled_from(["a", "b", "c", "A,", "b-c", "é"]), max_size=12).map(" ".join)
PHRASES = st.lists(st.lists(st.sampled_from("abcé"), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=4, unique=True)


@settings(max_examples=25)
@given(texts=st.lists(WORDS, min_size=1, max_size=6), phrases=PHRASES, hits=st.integers(1, 4))
def test_hits_equal_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], phrases: list[str], hits: int
) -> None:
    def times(text: str) -> int:
        words = " ".join(text[first:last].lower() for first, last in spans(text))
        return sum(len(re.findall(rf"(?<!\S)(?={re.escape(phrase)}(?!\S))", words)) for phrase in phrases)

    given_texts = {f"{number}": text for number, text in enumerate(texts)}
    done = run(tmp_path_factory.mktemp("blocked"), given_texts, {"blocked": {"phrases": phrases, "hits": hits}})
    assert set(done.texts) == {name for name, text in given_texts.items() if times(text) < hits}


def test_a_list_is_part_of_the_key_and_must_not_change(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("casino")
    config = FilterConfig(blocked=BlockedConfig(enabled=True, phrase_files=("list.txt",)))
    assert observed_digests(config, tmp_path, None, lambda paths: {path: path.name for path in paths}) == {"list.txt": "list.txt"}
    with pytest.raises(FileChanged, match=r"list.txt changed during the run"):
        ObservedFiles(tmp_path, {"list.txt": "0" * 64}).read("list.txt")


@pytest.mark.parametrize(
    ("listed", "content", "named"),
    [
        ({"phrase_files": ["gone.txt"]}, b"", "there is no file 'gone.txt'"),
        ({"phrase_files": ["list.txt"]}, b"caf\xe9", "list.txt is not UTF-8"),
        ({"phrases": ["!!"]}, b"", "'!!' has no word in it"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(listed: dict[str, Any], content: bytes, named: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    config = FilterConfig.model_validate({"blocked": {"enabled": True, **listed}})
    with pytest.raises(BlockListError, match=named):
        observed_digests(config, tmp_path, None, lambda paths: dict.fromkeys(paths, ""))
        run(tmp_path, {"a": "b"}, {"blocked": listed})


@pytest.mark.parametrize("keys", [{}, {"documents": ["a"], "hits": 2}, {"documents": ["a"], "share": 0.1}])
def test_a_block_list_without_entries_and_a_bound_without_phrases_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="blocked"):
        BlockedConfig.model_validate({"enabled": True, **keys})
