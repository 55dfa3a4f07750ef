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
from tasks.reporting.documents import documents_verdict
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
    found, records = consulted(monkeypatch, chat_format, index, heldout, Reads(cites), ConsultConfig(), context=context)
    assert len(records) == found["questions"] == len(ASKED)
    return found


def consulted(
    monkeypatch: pytest.MonkeyPatch,
    chat_format: ChatFormat,
    index: PassageIndex,
    heldout: Path,
    reads: Any,
    config: ConsultConfig,
    *,
    context: int = 2048,
    untouched: list[dict[str, Any]] | None = None,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    monkeypatch.setattr(questions, "_replies", reads)
    network = Decoder(DecoderConfig(width=32, layers=1, heads=4, context=context), chat_format.tokenizer.get_vocab_size()).decoding()
    return questions.consult(network, chat_format, heldout, index, config, untouched=untouched)


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


class Declines(Reads):
    """Declines in its own words where nothing answers a question; `every`: says nothing at all to each so many-th of these."""

    def __init__(self, every: int) -> None:
        super().__init__(cites=True)
        self.every, self.asked = every, 0

    def answer(self, prompt: str) -> str:
        if (answer := super().answer(prompt)) != "I don't know.":
            return answer
        self.asked += 1
        return "" if self.asked % self.every == 0 else "Das steht nicht da."


def test_what_no_passage_answers_is_to_be_declined_and_an_empty_reply_stays_among_those_asked(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path
) -> None:
    asked = ConsultConfig(declined=True, declines=("das steht nicht da",))
    found, records = consulted(monkeypatch, chat_format, index, heldout, Declines(every=4), asked)
    said = [record["elsewhere"] for record in records]
    assert "" in said and found["declined"] == sum(map(bool, said)) / len(ASKED)
    assert found["declined_wrongly"] == 0
    english, _ = consulted(monkeypatch, chat_format, index, heldout, Declines(every=4), ConsultConfig(declined=True))
    assert english["declined"] == 0


def test_a_tuned_model_is_compared_with_the_untouched_one_question_by_question_and_the_verdict_says_which_to_use(
    monkeypatch: pytest.MonkeyPatch, chat_format: ChatFormat, index: PassageIndex, heldout: Path
) -> None:
    config = ConsultConfig()
    _, good = consulted(monkeypatch, chat_format, index, heldout, Reads(cites=True), config)
    _, bad = consulted(monkeypatch, chat_format, index, heldout, lambda network, format, prompts, *given: ["No."] * len(prompts), config)
    better, _ = consulted(monkeypatch, chat_format, index, heldout, Reads(cites=True), config, untouched=bad)
    assert better["tuning.documents"] == better["documents"] - better["untouched.documents"] >= 0.95
    assert better["tuning.documents_low"] > 0 and better["tuning.closed"] == 0
    assert documents_verdict(better).endswith(": use the tuned model with documents.")
    same, _ = consulted(monkeypatch, chat_format, index, heldout, Reads(cites=True), config, untouched=good)
    assert "is not known to be right more often" in documents_verdict(same)
    assert documents_verdict(same).endswith(": use retrieval alone, the untouched model with documents.")
    worse = better | {f"tuning.documents{end}": -value for end, value in (("", 0.9), ("_low", 0.95), ("_high", 0.5))}
    assert "is right less often" in documents_verdict(worse)
    for way in ("untouched, alone", "untouched, with documents", "tuned, alone", "tuned, with documents"):
        assert way in documents_verdict(better)
    with pytest.raises(ValueError, match="was asked other questions"):
        consulted(monkeypatch, chat_format, index, heldout, Reads(cites=True), config, untouched=bad[1:])
