"""A handbook of an invented company, 200 documents with 1,000 facts: what it teaches is filtered, found, and asked for once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.documents.sharding import document_id
from data.examples.config import DocumentExamples
from data.examples.make import make_examples
from data.searching.index import build_index, open_index
from data.searching.passages import PASSAGES_FILE
from data.shards.address import TAUGHT
from model.pairing.teacher import teach
from tests.data.searching.bm25_reference import reference
from tests.data.searching.handbook import handbook, write_documents
from tests.model.pairing.scripted_teacher import ScriptedTeacher, Truth, scripted_address, teacher_at
from tests.model.pairing.test_constitution import Address

pytestmark = pytest.mark.slow

TEXTS, FACTS = handbook(200, facts=5, seed=11)
TRUTH = Truth(FACTS)
ASK = """
import sys
from pathlib import Path
from data.examples.config import DocumentExamples
from model.pairing.teacher import teach
passages, output, journal, config = sys.argv[1:]
teach([Path(passages)], Path(output), DocumentExamples.model_validate_json(config).teaching, journal=Path(journal))
"""
KILLED_AFTER = 900  # requests, of some 1,500


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("company")
    documents = write_documents(place / "documents.parquet", TEXTS)
    build_index(documents, place / "index", config_at("http://127.0.0.1:1/v1").indexing, threads=1, memory="1GB", scratch=place)
    return place / "index"


@pytest.fixture
def address() -> Iterator[Address]:
    with scripted_address(TRUTH) as found:
        yield found


def config_at(url: str) -> DocumentExamples:
    return DocumentExamples.model_validate({"kind": "documents", "teacher": teacher_at(url), "passages": 2000, "passage_characters": 300})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_wrong_answers_are_dropped_and_right_ones_kept_and_each_reason_is_counted(address: Address, index: Path, tmp_path: Path) -> None:
    config, taught = config_at(address.url), tmp_path / "taught" / TAUGHT
    teach([index / PASSAGES_FILE], taught.parent, config.teaching, journal=tmp_path / "replies.jsonl")
    counts = make_examples([], None, tmp_path / "made", config, passages=[index], taught=taught)
    items, dropped = rows(taught), rows(tmp_path / "made" / "dropped.jsonl")
    teacher = address.answer
    assert isinstance(teacher, ScriptedTeacher)
    written = Counter(item["question"].strip() for item in items)
    right = [item for item in items if TRUTH.is_right(item) and written[item["question"]] == 1]
    wrong = [item for item in items if not TRUTH.is_right(item)]
    left = {(item["question"], item["id"], item["start"]) for item in dropped}

    def dropped_of(among: list[dict[str, Any]]) -> int:
        return sum((item["question"], item["id"], item["start"]) in left for item in among)

    print(f"\nfacts {len(FACTS)}, items {len(items)}: kept {counts['kept']:.0f}, dropped {counts['dropped']:.0f}")
    print(f"wrong dropped {dropped_of(wrong)} of {len(wrong)}; right kept {len(right) - dropped_of(right)} of {len(right)}")
    for fault in sorted({teacher.faults.get(item["question"], "") for item in wrong}):
        of = [item for item in wrong if teacher.faults.get(item["question"], "") == fault]
        print(f"  {fault or 'cut off':10} {dropped_of(of)} of {len(of)}")
    for name, count in sorted(counts.items()):
        if name.startswith("dropped."):
            print(f"  {name:26} {count:.0f}")
    assert dropped_of(wrong) >= 0.95 * len(wrong) > 100
    assert len(right) - dropped_of(right) >= 0.9 * len(right) > 300
    assert counts["taught"] == len(items) == counts["kept"] + counts["dropped"]
    assert sum(count for name, count in counts.items() if name.startswith("dropped.")) == counts["dropped"] == len(dropped)


def test_a_teacher_whose_process_is_killed_in_the_middle_is_asked_again_only_what_was_under_way(
    address: Address, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, killed, count, waiting = address.answer, threading.Event(), iter(range(10**6)), threading.Semaphore(0)
    monkeypatch.setattr(address.server, "handle_error", lambda *about: None)  # whoever asked is gone

    def stalling(messages: list[dict[str, str]]) -> dict[str, Any]:
        if next(count) >= KILLED_AFTER:
            waiting.release()
            killed.wait(120)
        return teacher(messages)

    def asked() -> set[str]:
        requests = [json.dumps(request, sort_keys=True) for request in address.asked]
        assert len(set(requests)) == len(requests), "no request is like another one, for each has a seed of its own"
        return set(requests)

    config = config_at(address.url)
    at_once = config.teacher.at_once  # type: ignore[union-attr]
    given = [str(index / PASSAGES_FILE), str(tmp_path / "taught"), str(tmp_path / "replies.jsonl"), config.model_dump_json()]
    address.answer = stalling
    asking = subprocess.Popen([sys.executable, "-c", ASK, *given])
    for _ in range(at_once):
        assert waiting.acquire(timeout=300), "all requests under way should wait for their reply"
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    before = asked()
    killed.set()
    address.answer = teacher
    address.asked.clear()
    subprocess.run([sys.executable, "-c", ASK, *given], check=True)
    after = asked()
    print(
        f"\nanswered before the kill {KILLED_AFTER}, under way {at_once}, asked after it {len(after)}, of them before {len(before & after)}"
    )
    assert len(before) == KILLED_AFTER + at_once and len(before & after) == at_once < len(after)


def test_every_question_finds_its_passage_as_plain_bm25_does_until_its_document_is_gone(index: Path, tmp_path: Path) -> None:
    with open_index([index], threads=1, memory="1GB", scratch=tmp_path) as opened:
        found = [any(fact.sentence in hit.text for hit in opened.search(fact.question, 5)) for fact in FACTS]
        print(f"\nrecall at 5: {sum(found)} of {len(found)}")
        assert sum(found) >= 0.95 * len(found)
        for fact in FACTS[::100]:
            scores = [round(hit.score, 9) for hit in opened.by_words(fact.question, 2000)]
            assert scores == [round(score, 9) for *_, score in reference(TEXTS, fact.question, 300)]
    gone = document_id("handbook", FACTS[0].document)
    with open_index([index], without=[gone], threads=1, memory="1GB", scratch=tmp_path) as opened:
        hits = opened.by_words(FACTS[0].question, 2000)
    left = {name: text for name, text in TEXTS.items() if name != FACTS[0].document}
    assert [round(hit.score, 9) for hit in hits] == [round(score, 9) for *_, score in reference(left, FACTS[0].question, 300)]
