"""The corpus browser, on a corpus whose every change is known: what it shows of documents and rules, and that it stays text."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tasks.stage.store.store import Store
from tests.flows.page.visiting import Seen, seen, visitor
from tests.tasks.lineage.corpus_store import Corpus
from tests.tasks.lineage.edited_corpus import IDS, EditedCorpus
from tests.tasks.reporting.example_run import HOSTILE


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A browser of the page of a corpus with every stage, whose run is RUN_OF."""
    place = tmp_path_factory.mktemp("browsed")
    corpus = EditedCorpus(Store(str(place / "store"), place / "cache")).write()
    return visitor(corpus.store, place / "home")


@pytest.fixture(scope="module")
def corpus(told: TestClient) -> str:
    """The address of the corpus, found as a person finds it."""
    (address,) = [link for link in seen(told, "/corpora").links if link.count("/") == 2]
    return address


def document(told: TestClient, corpus: str, name: str, query: str = "") -> Seen:
    return seen(told, f"{corpus}/documents/{IDS[name]}{query}")


def test_what_each_stage_and_rule_took_is_shown(told: TestClient, corpus: str) -> None:
    page = seen(told, corpus)
    assert "running heads clean cut" in page.text and "balanced" in page.text
    removed = [link for link in page.links if "/removed/" in link]
    assert f"{corpus}/removed/clean/running_heads" in removed
    for address in removed:
        assert "word for word" in seen(told, address).text
    taken = seen(told, f"{corpus}/removed/clean/running_heads")
    assert "ALICE IN WONDERLAND 12" in taken.text and f"{corpus}/documents/{IDS['alice.txt']}" in taken.links


def test_documents_are_found_by_words_of_their_name_or_title(told: TestClient, corpus: str) -> None:
    assert len([link for link in seen(told, f"{corpus}/documents").links if link.count("/") == 4]) == len(IDS)
    found = seen(told, f"{corpus}/documents?name=WONDERLAND")
    assert [link for link in found.links if link.count("/") == 4] == [f"{corpus}/documents/{IDS['alice.txt']}"]
    assert "No document has these words" in seen(told, f"{corpus}/documents?name=nowhere").text


def test_a_document_is_shown_before_and_after_with_each_rule_s_change(told: TestClient, corpus: str) -> None:
    page = document(told, corpus, "alice.txt")
    tags = [tag for tag, _ in page.tags]
    assert "del" in tags and "ins" in tags
    assert "She had nothing at all to do." in page.text and "kept, 154 characters" in page.text
    assert "as it was read, 193 characters" in page.text and "as it is now, 154 characters" in page.text
    alone = document(told, corpus, "alice.txt", "?rule=running%20heads")
    assert "2 of 2" in alone.text and "misread words " in alone.text and "at all" not in alone.text.split("Before and after")[0]
    assert "No rule" in seen(told, f"{corpus}/documents/{IDS['alice.txt']}?rule=nothing", 404).text


def test_why_two_are_called_duplicates_is_a_click_away(told: TestClient, corpus: str) -> None:
    whys = {link for name in IDS for link in document(told, corpus, name).links if "/why?" in link}
    pages = [told.get(address) for address in whys]
    shown = [page.text for page in pages if page.status_code == 200]
    assert shown and any("Jaccard similarity" in text for text in shown)
    assert all(page.status_code in (200, 404) for page in pages)


@pytest.mark.parametrize("path", ["/documents/none", "/removed/clean/none", "/removed/none/none", "/why", "/why?first=a&second=b", "/x"])
def test_what_is_not_there_is_named(told: TestClient, corpus: str, path: str) -> None:
    assert seen(told, f"{corpus}{path}", 404)


def test_a_run_without_a_corpus_and_a_store_without_runs_say_so(store: Store, home: Path) -> None:
    browser = visitor(store, home)
    assert "No run has read a corpus yet" in seen(browser, "/corpora").text
    assert seen(browser, "/corpora/none", 404)


def test_what_a_document_says_and_is_called_stays_text(store: Store, home: Path) -> None:
    books = Corpus(store)
    books.run(texts={f"{HOSTILE.replace('/', '_')}.txt": f"{HOSTILE} and more words", "short.txt": "<b>No"})
    books.record("20260102T030405-abcdef")
    browser = visitor(store, home)
    corpus = "/corpora/20260102T030405-abcdef"
    listed = seen(browser, f"{corpus}/documents")
    assert "alert(1)" in listed.text
    for address in [link for link in listed.links if link.count("/") == 4]:
        text = seen(browser, address).text
        assert "alert(1)" in text or "<b>No" in text
    assert "<b>No" in seen(browser, f"{corpus}/removed/clean/too_short").text
    assert f"name={HOSTILE}" not in seen(browser, f"{corpus}/documents?name={HOSTILE}").text


def test_only_records_that_the_run_names_are_read(store: Store, home: Path) -> None:
    books = Corpus(store)
    books.run()
    books.record("20260102T030405-abcdef")
    strange = Path(store.root) / "clean" / "other-0123456789ab"
    strange.mkdir()
    (strange / "artifact.json").mkdir()  # whoever reads it fails
    assert seen(visitor(store, home), "/corpora/20260102T030405-abcdef/documents")
