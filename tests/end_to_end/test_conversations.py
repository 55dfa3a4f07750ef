"""Conversations in every shape, from files to a model that ends its replies: with ledger, take-down and licences, as books have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.documents.sharding import document_id
from flows.cli.views.takedown import show_takedown
from model.inference.chat_format import ChatFormat
from model.inference.generation import generate_batch
from model.inference.open_model import open_model
from tests.end_to_end.conftest import FinishedRun, run_at_home
from tests.end_to_end.talks import BOOKS, THINGS, book, write_folder

LONGEST = 48
READ = "ingest.conversations[0]"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def talks(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    folder = tmp_path_factory.mktemp("talks")
    with run_at_home(str(write_folder(folder)), folder / "home") as finished:
        yield finished


def test_every_record_is_read_or_quarantined_and_what_is_left_goes_where_it_belongs(talks: FinishedRun) -> None:
    read, made = talks.artifacts[READ].metrics, talks.artifacts["examples"].metrics
    assert (read["documents.chats"], read["documents.feedback"], read["quarantined"]) == (12 + BOOKS + 2 + 12 + 12 + 24, 12, 2)
    ledger = pq.read_table(talks.folder(READ) / "ledger.parquet").to_pylist()
    assert len(ledger) == read["documents"] + 2
    assert talks.artifacts["dedup.conversations"].metrics["documents_exact"] == 1
    kinds = {kind: made[f"{kind}_train_read"] + made[f"{kind}_val_read"] for kind in ("instructions", "preferences", "labels")}
    dropped = talks.artifacts["decontaminate.conversations[0]"].metrics["documents_dropped"]
    assert sum(kinds.values()) == read["documents"] - 1 - dropped
    assert (kinds["preferences"], kinds["labels"]) == (12, 24)
    encoded = talks.artifacts["encode"].metrics
    # Both answers of each pair are labelled answers, too.
    assert encoded["labels_train_rows"] == encoded["labels_train_kept"] > 2 * encoded["preference_train_kept"] > 0
    assert encoded["sft_train_shortened"] + encoded["sft_val_shortened"] > 0


def test_no_conversation_quotes_a_book_that_is_held_out(talks: FinishedRun) -> None:
    held_out = [row["text"] for row in pq.read_table(talks.folder("split[0]") / "test.parquet", columns=["text"]).to_pylist()]
    quoted = [number for number in range(BOOKS) if any(book(number).splitlines()[2] in text for text in held_out)]
    assert len(quoted) == 2
    learned = "".join(path.read_text(encoding="utf-8") for path in talks.folder("examples").glob("*_*.jsonl"))
    assert not any(book(number).splitlines()[2] in learned for number in quoted)
    assert sum(f"Book {number} has it." in learned for number in range(BOOKS)) > BOOKS // 2


def test_the_released_model_ends_its_replies(talks: FinishedRun) -> None:
    folder = talks.folder("export")
    chat_format, network = ChatFormat(folder), open_model(folder).decoding()
    prompts = [chat_format.encode_chat([{"role": "user", "content": f"What colour is the {thing}?"}]) for thing in THINGS]
    replies = generate_batch(network, prompts, LONGEST, chat_format.stop_ids, len(prompts))
    assert sum(len(reply) < LONGEST for reply in replies) >= len(THINGS) - 1


def test_a_take_down_names_what_holds_a_conversation_and_what_learned_it(talks: FinishedRun) -> None:
    lines = (talks.folder("examples") / "instructions_train.jsonl").read_text(encoding="utf-8").splitlines()
    told = next(line for line in map(json.loads, lines) if line["topic"] == "chats")
    (identity,) = told["books"]
    account = json.loads(show_takedown(identity, search=False, as_json=True))
    places = {(talks.artifacts[position].location, position) for position in talks.artifacts}
    named = {
        kind: {position for location, position in places if location in json.dumps(account[kind])}
        for kind in ("contains", "learned_from_it")
    }
    assert {READ, "dedup.conversations", "split.conversations[0]", "examples", "encode"} <= named["contains"]
    assert {"tune.sft", "tune.dpo", "export", "quantize.int8"} <= named["learned_from_it"]
    assert not {"ingest[0]", "split[0]", "examples.generated"} & (named["contains"] | named["learned_from_it"])


def test_the_card_has_the_licences_of_conversations_and_the_page_says_what_became_of_them(talks: FinishedRun) -> None:
    card = (talks.folder("export") / "README.md").read_text(encoding="utf-8")
    assert r"cc\-by\-4.0" in card and "made for a test" in card
    page = next((Path(talks.store.root).parent / "reports").rglob("*.html")).read_text(encoding="utf-8")
    assert "Records without a conversation" in page and "with text that is held out" in page


def test_a_document_of_one_source_is_known_by_the_number_of_its_record(talks: FinishedRun) -> None:
    identity = document_id("feedback", "feedback.parquet#1")
    assert identity in pq.read_table(talks.folder(READ) / "documents.parquet")["id"].to_pylist()
