"""Answers from documents are measured beside closed-book ones: what retrieval finds, what is right, and what is cited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from data.documents.sharding import document_id
from data.searching.index import PassageIndex, build_index, open_index
from data.searching.passages import IndexConfig
from model.evaluation import questions
from model.evaluation.config import ConsultConfig
from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from tests.data.searching.handbook import handbook, write_documents

TEXTS, FACTS = handbook(40)
ASKED = FACTS[::10]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageIndex]:
    place, limits = tmp_path_factory.mktemp("index"), {"threads": 1, "memory": "1GB"}
    documents = write_documents(place / "documents.parquet", TEXTS)
    build_index(documents, place / "index", IndexConfig(passage_characters=120), scratch=place, **limits)  # type: ignore[arg-type]
    with open_index([place / "index"], scratch=place, **limits) as opened:  # type: ignore[arg-type]
        yield opened


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    """Questions about known places."""
    rows = []
    for fact in ASKED:
        start = TEXTS[fact.document].index(fact.sentence)
        rows.append(
            {"question": fact.question, "answers": [fact.answer.rstrip(".")], "fact": "", "books": [document_id("handbook", fact.document)]}
            | {"start": start, "end": start + len(fact.sentence)}
        )
    (tmp_path / "heldout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "heldout.jsonl"


class Reads:
    """Replies as a model would that answers from the passages that it is shown, and knows nothing by itself."""

    def __init__(self, cites: bool) -> None:
        self.cites = cites

    def __call__(self, network: Any, chat_format: ChatFormat, prompts: Sequence[list[int]], *given: Any) -> list[str | None]:
        return [self.answer(chat_format.decode(prompt)) for prompt in prompts]

    def answer(self, prompt: str) -> str:
        fact = next(fact for fact in ASKED if fact.question in prompt)
        before = prompt.partition(fact.sentence)
        if not before[1]:
            return "I don't know."
        number = before[0].rpartition("[")[2].partition("]")[0]
        return f"{fact.answer.rstrip('.')} [{number if self.cites else 1 + int(number) % 5}]."


def measured(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path, *, context: int = 2048, cites: bool = True
) -> dict[str, float]:
    monkeypatch.setattr(questions, "_replies", Reads(cites))
    network = Decoder(DecoderConfig(width=32, layers=1, heads=4, context=context), chat_format.tokenizer.get_vocab_size()).decoding()
    found, records = questions.consult(network, chat_format, heldout, index, ConsultConfig())
    assert len(records) == found["questions"] == len(ASKED)
    return found


def test_recall_and_right_answers_are_counted_with_intervals_and_the_gain_over_the_same_questions(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path
) -> None:
    found = measured(monkeypatch, chat_format, index, heldout)
    assert found["recall_at_5"] >= 0.95 and found["recall_at_1"] <= found["recall_at_5"] <= found["recall_at_10"]
    assert found["closed"] == 0 and found["documents"] >= 0.95 and found["gain"] == found["documents"]
    assert found["gain_low"] > 0.5 and found["closed_high"] < 0.2 and "words.recall_at_5" not in found
    assert found["cited"] == found["documents"] and found["citations_right"] >= 0.95


def test_a_citation_of_another_passage_is_not_right(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path
) -> None:
    found = measured(monkeypatch, chat_format, index, heldout, cites=False)
    assert found["documents"] >= 0.95 and found["citations_right"] <= 0.05


def test_passages_that_do_not_fit_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path
) -> None:
    wide, narrow = (measured(monkeypatch, chat_format, index, heldout, context=context) for context in (2048, 160))
    assert wide["shown"] == 5 and narrow["shown"] == 0 and narrow["documents"] == 0 and narrow["recall_at_5"] == wide["recall_at_5"]
