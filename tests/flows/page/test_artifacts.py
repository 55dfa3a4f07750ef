"""Artifacts, their lineage as a drawing that can be followed, and models side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from flows.page.models import rendered
from tasks.stage.store.store import Store
from tests.flows.page.conftest import RUN
from tests.flows.page.visiting import Seen, seen, visitor
from tests.tasks.lineage.corpus_store import Corpus
from tests.tasks.records import committed, ran
from tests.tasks.reporting.example_run import HOSTILE


def test_the_drawing_leads_from_a_model_to_the_books_it_was_made_from(corpus: Corpus, home: Path) -> None:
    browser = visitor(corpus.store, home)
    page = seen(browser, f"/artifacts/{corpus.made['export'].location}")
    # From box to box, as a person would, until one was made from nothing.
    reached, waiting = set[str](), [link for link in page.links if link.startswith("/artifacts/")]
    while waiting:
        address = waiting.pop()
        if address not in reached and address.count("/") == 3:
            reached.add(address)
            waiting += seen(browser, address).links
    assert {location.split("/")[2] for location in reached} >= {"ingest", "clean", "dedup", "tokenizer", "pretrain"}
    assert any(tag == "svg" for tag, _ in page.tags)
    assert all("style" not in attributes for tag, attributes in page.tags)


def test_what_was_made_from_a_book_is_drawn_when_it_is_asked_for(corpus: Corpus, home: Path) -> None:
    page = seen(visitor(corpus.store, home), f"/artifacts/{corpus.made['ingest[0]'].location}/made")
    assert "1 of export" in page.text and f"/artifacts/{corpus.made['export'].location}" in page.links


def test_an_artifact_says_where_it_comes_from_and_shows_its_text_files(corpus: Corpus, home: Path) -> None:
    browser = visitor(corpus.store, home)
    made = corpus.made["pretrain"]
    page = seen(browser, f"/artifacts/{made.location}")
    assert made.digest in page.text and made.key in page.text
    for file in made.files:
        assert seen(browser, f"/artifacts/{made.location}/files/{file.path}")
    assert f"/artifacts/{made.location}" in seen(browser, f"/runs/{RUN}").links
    (parquet,) = [file.path for file in corpus.made["ingest[0]"].files if file.path == "documents.parquet"]
    assert "It is not text" in seen(browser, f"/artifacts/{corpus.made['ingest[0]'].location}/files/{parquet}").text


@pytest.mark.parametrize(
    "address", ["/artifacts/%2e%2e", "/artifacts/.runs", "/artifacts/%2e%2e/secret", "/artifacts/clean/none-000000000000",
                "/artifacts/clean/%2e%2e", "/artifacts/none", "/models/%2e%2e", "/models/none"],
)  # fmt: skip
def test_nothing_outside_of_the_store_can_be_named(corpus: Corpus, home: Path, address: str) -> None:
    (corpus.store.local_root.parent / "secret").write_text("secret")  # type: ignore[union-attr]
    answer = visitor(corpus.store, home).get(address)
    assert answer.status_code == 404 and "secret</" not in answer.text


@pytest.mark.parametrize("path", ["../artifact.json", "..%2f..%2f..%2fsecret", "/etc/passwd", "artifact.json", "none.txt"])
def test_only_files_of_the_record_are_shown(corpus: Corpus, home: Path, path: str) -> None:
    made = corpus.made["pretrain"]
    address = f"/artifacts/{made.location}/files/{path}"
    assert visitor(corpus.store, home).get(urljoin("http://127.0.0.1:4400", address)).status_code == 404


def test_a_stage_s_artifacts_come_newest_first_in_parts_and_by_name(store: Store, home: Path) -> None:
    for number in range(30):
        committed(store, {"a.txt": str(number).encode()}, label="even" if number % 2 == 0 else "odd", name=str(number))
    browser = visitor(store, home)
    assert "clean 30" in seen(browser, "/artifacts").text
    first, odd = seen(browser, "/artifacts/clean"), seen(browser, "/artifacts/clean?name=odd")
    assert "30 artifacts" in first.text and "?page=2" in first.links
    assert "15 artifacts" in odd.text and "even-" not in odd.text
    newest = committed(store, {"a.txt": b"new"}, label="new")
    listed = [link for link in seen(browser, "/artifacts/clean").links if link.startswith("/artifacts/clean/")]
    assert listed[0] == f"/artifacts/{newest.location}"


def test_a_damaged_artifact_is_said_to_be_damaged(store: Store, home: Path) -> None:
    made = committed(store, {"a.txt": b"a"})
    record = Path(store.root) / made.location / "artifact.json"
    record.write_bytes(record.read_bytes().replace(b'"clean"', b'"learn"', 1))
    browser = visitor(store, home)
    assert "damaged" in seen(browser, "/artifacts/clean").text
    assert "is damaged" in seen(browser, f"/artifacts/{made.location}", 404).text


VERDICT = {"metric": "m", "value": "1", "bound": "<= 2", "margin": "1", "verdict": "passed"}


def released(store: Store, number: int, name: str, bits: float, **more: Any) -> str:
    made = committed(store, {"model.safetensors": b"w" * 1000, "int8/model.int8.safetensors": b"w" * 300}, stage="export", name=name)
    gate = committed(
        store, {"verdict.json": json.dumps({"rows": [VERDICT], "overruled": ""}).encode()},
        stage="gate", name=name, metrics={"passed": 1.0},
    )  # fmt: skip
    ran(store, number, made, gate, headline={"evaluate.release.test.bits_per_byte": bits, "gate.passed": 1.0}, **more)
    return made.location.partition("/")[2]


def test_models_are_shown_side_by_side_with_figures_gates_and_forms(store: Store, home: Path) -> None:
    one, two = released(store, 1, "one", 1.25), released(store, 2, "two", 1.5)
    browser = visitor(store, home)
    listed = seen(browser, "/models")
    assert (listed.text.index(two) < listed.text.index(one) and "gate passed" in listed.text.replace("  ", " ")) or "passed" in listed.text
    page = seen(browser, f"/models/side-by-side?model={one}&model={two}")
    assert "evaluate.release.test.bits_per_byte 1.25 1.5" in page.text
    assert "passed, 1 bound passed, 1 bound" in page.text and "int8 300 bytes 300 bytes" in page.text
    assert "choose 2 to 4" in seen(browser, f"/models/side-by-side?model={one}", 400).text
    assert "has no card.json" in seen(browser, f"/models/{one}").text


def test_what_a_model_is_called_and_says_stays_text(store: Store, home: Path) -> None:
    name = released(store, 1, "one", 1.0, registered=[{"name": HOSTILE, "alias": HOSTILE, "location": "", "digest": ""}])
    made = committed(store, {HOSTILE.replace("/", "_"): HOSTILE.encode()}, metrics={HOSTILE: 1.0}, config={HOSTILE: HOSTILE})
    browser = visitor(store, home)
    assert seen(browser, "/models") and seen(browser, f"/models/{name}")
    page = seen(browser, f"/artifacts/{made.location}")
    assert " ".join(HOSTILE.split()) in page.text
    (shown,) = [link for link in page.links if "/files/" in link]
    assert " ".join(HOSTILE.split()) in seen(browser, shown).text


@pytest.mark.parametrize("words", [HOSTILE, "[x](javascript:alert(1))", "![x](https://evil.example/x.png)", "<https://evil.example>",
                                   "<div onclick=x>\n\nhello", "[a]: https://evil.example\n\n[a]",
                                   "```\n</code><script>\n```"])  # fmt: skip
def test_a_card_leads_and_loads_nowhere_and_holds_no_html(words: str) -> None:
    page = Seen(str(rendered(f"---\nlicense: mit\n---\n# Name\n\n{words}\n\n| a | b |\n| ---: | --- |\n| 1 | {words.splitlines()[0]} |\n")))
    assert not page.dangers() and not page.links
    assert {tag for tag, _ in page.tags} <= {"h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "strong", "em"}
