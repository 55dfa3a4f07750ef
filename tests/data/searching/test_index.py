"""Passages of documents and how questions find them: BM25 as a plain reference counts it, vectors, and both fused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from data.documents.sharding import document_id, shard_of
from data.searching.index import Hit, PassageIndex, build_index, fused, open_index
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, VECTORS_FILE, IndexConfig, cut_passages, terms
from tests.data.searching.bm25_reference import reference
from tests.data.searching.handbook import handbook, write_documents

TEXTS, FACTS = handbook(40)
CONFIG = IndexConfig(passage_characters=120)


def built(folder: Path, texts: dict[str, str], shards: int = 1, threads: int = 2, config: IndexConfig = CONFIG) -> list[Path]:
    """The folders of an index in so many shards."""
    made = []
    for number in range(shards):
        ids = [found for name in texts if shard_of(found := document_id("handbook", name), shards) == number]
        documents = write_documents(folder / f"documents_{number}.parquet", texts, ids or ["none"])
        build_index(documents, folder / f"{number}", config, threads=threads, memory="1GB", scratch=folder / "scratch")
        made.append(folder / f"{number}")
    return made


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageIndex]:
    place = tmp_path_factory.mktemp("index")
    with open_index(built(place, TEXTS), threads=2, memory="1GB", scratch=place) as opened:
        yield opened


@pytest.mark.parametrize("question", [FACTS[7].question, "kiln kiln inspected", "The switch of the press is amber.", "nothing of it"])
def test_scores_and_order_are_those_of_a_plain_reference(index: PassageIndex, question: str) -> None:
    found, expected = index.by_words(question, 1000), reference(TEXTS, question, CONFIG.passage_characters)
    assert [round(hit.score, 9) for hit in found] == [round(score, 9) for *_, score in expected]
    assert {(hit.id, hit.start, round(hit.score, 9)) for hit in found} == {(one, at, round(score, 9)) for one, at, score in expected}


def test_a_hit_is_the_words_at_its_place_in_its_document(index: PassageIndex) -> None:
    for fact in FACTS[::20]:
        for hit in index.search(fact.question, 5):
            assert hit.text == TEXTS[hit.document.removeprefix("handbook/")][hit.start : hit.end]


def test_nearly_every_question_finds_the_passage_that_answers_it_among_five(index: PassageIndex) -> None:
    right = [any(fact.sentence in hit.text for hit in index.search(fact.question, 5)) for fact in FACTS[::4]]
    assert sum(right) / len(right) >= 0.95


def test_shards_and_threads_change_neither_hits_nor_bytes(index: PassageIndex, tmp_path: Path) -> None:
    with open_index(built(tmp_path / "four", TEXTS, shards=4), threads=1, memory="1GB", scratch=tmp_path) as sharded:
        for fact in FACTS[::25]:
            assert sharded.search(fact.question, 20) == index.search(fact.question, 20)
    one, many = (built(tmp_path / f"{threads}", TEXTS, threads=threads)[0] for threads in (1, 4))
    for name in (PASSAGES_FILE, POSTINGS_FILE):
        assert hashlib.sha256((one / name).read_bytes()).digest() == hashlib.sha256((many / name).read_bytes()).digest()


def test_a_document_that_is_gone_leaves_hits_and_counts(tmp_path: Path) -> None:
    folders, fact = built(tmp_path, TEXTS), FACTS[0]
    gone = document_id("handbook", fact.document)
    with open_index(folders, without=[gone], threads=1, memory="1GB", scratch=tmp_path) as opened:
        found = opened.search(fact.question, 500)
    left = {name: text for name, text in TEXTS.items() if name != fact.document}
    assert gone not in {hit.id for hit in found}
    assert [round(hit.score, 9) for hit in found] == [
        round(score, 9) for *_, score in reference(left, fact.question, CONFIG.passage_characters)
    ]


def test_vectors_find_what_shares_no_word_and_both_lists_are_fused_by_rank(tmp_path: Path) -> None:
    texts = {"a.txt": "Cats purr.", "b.txt": "Dogs bark.", "c.txt": "Felines are quiet."}
    folders = built(tmp_path, texts, config=IndexConfig(passage_characters=40))
    order = sorted(texts, key=lambda name: document_id("handbook", name))
    vectors = {"a.txt": [1.0, 0.0], "b.txt": [0.0, 1.0], "c.txt": [0.8, 0.6]}
    np.save(folders[0] / VECTORS_FILE, np.array([vectors[name] for name in order], dtype=np.float32))

    def nearest(question: str) -> list[float]:
        return [0.8, 0.6]

    with open_index(folders, vectors=folders, embed=nearest, threads=1, memory="1GB", scratch=tmp_path) as opened:
        assert [hit.title for hit in opened.by_vectors("purr", 3)] == ["c.txt", "a.txt", "b.txt"]
        found = opened.search("purr", 3)
    assert [hit.title for hit in found] == ["a.txt", "c.txt", "b.txt"]
    assert [hit.score for hit in found] == pytest.approx([1 / 61 + 1 / 62, 1 / 61, 1 / 63])


def test_vectors_of_other_passages_are_refused(tmp_path: Path) -> None:
    folders = built(tmp_path, {"a.txt": "One.", "b.txt": "Two."})
    np.save(folders[0] / VECTORS_FILE, np.zeros((3, 2), dtype=np.float32))
    with (
        pytest.raises(ValueError, match="3 vectors for 2 passages"),
        open_index(folders, vectors=folders, embed=lambda _: [0.0, 0.0], threads=1, memory="1GB", scratch=tmp_path),
    ):
        pass


def test_fusion_prefers_what_both_lists_have_and_ties_go_by_place() -> None:
    assert [key for key, _ in fused([[("a", 0), ("b", 0)], [("c", 0), ("b", 0)]])] == [("b", 0), ("a", 0), ("c", 0)]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Die Prüfung der Straße ist jährlich.", "PRUFUNG strasse"),
        ("Η ΟΔΟΣ είναι κλειστή.", "οδός"),
        ("Ёлка стоит во дворе.", "елка"),
        ("مُحَمَّدٌ يَكْتُبُ", "محمد"),
        ("שָׁלוֹם עוֹלָם", "שלום"),
        ("हिन्दी की किताब", "किताब"),
        ("本社は東京都港区にあります。", "東京都"),
        ("机器每三十天检查一次。", "检查"),
        ("เครื่องจักรสีแดง", "สีแดง"),
        ("공장에서는 기계를 점검한다.", "공장"),
        ("ﬁrst 12 kilns", "first １２"),
    ],
)
def test_a_word_is_found_in_every_script_however_it_is_spelled(text: str, question: str, tmp_path: Path) -> None:
    with open_index(built(tmp_path, {"a.txt": text, "b.txt": "Other words."}), threads=1, memory="1GB", scratch=tmp_path) as opened:
        assert [hit.title for hit in opened.search(question, 5)] == ["a.txt"]
    assert set(terms(question)) <= set(terms(text))


def test_vowel_signs_tell_words_of_indic_scripts_apart() -> None:
    assert terms("कि की का") == ["कि", "की", "का"] and not set(terms("किताब")) & set(terms("कताब"))


@pytest.mark.parametrize("seed", range(20))
def test_passages_hold_every_letter_once_in_order_and_are_never_too_long(seed: int) -> None:
    random = Random(seed)
    text = "".join(random.choice(["word ", "a.", " b! ", "\n\n", "東京。", "e\u0301", "x" * random.randrange(90)]) for _ in range(60))
    found = list(cut_passages(text, 50))
    assert all(0 < end - start <= 50 for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    assert "".join("".join(text[start:end].split()) for start, end in found) == "".join(text.split())
    assert not any(text[start] == "\u0301" for start, _ in found)


def test_a_passage_ends_with_a_paragraph_or_a_sentence_where_one_is_near() -> None:
    text = "One is here. Two is there.\n\nThree is far from all of it. Four is farther than all of them."
    assert [text[start:end] for start, end in cut_passages(text, 45)] == [
        "One is here. Two is there.", "Three is far from all of it.", "Four is farther than all of them."
    ]  # fmt: skip


def test_a_question_without_words_finds_nothing(index: PassageIndex) -> None:
    found: list[Hit] = index.search("?!", 5)
    assert found == []


def test_a_true_answer_is_supported_by_its_passage_and_a_false_one_is_not(index: PassageIndex) -> None:
    right = [index.supports(fact.answer, fact.question, fact.sentence) for fact in FACTS[::3]]
    wrong = [index.supports(fact.wrong, fact.question, fact.sentence) for fact in FACTS[::3]]
    assert sum(right) >= 0.9 * len(right) and sum(wrong) <= 0.05 * len(wrong)


@pytest.mark.parametrize(
    ("statement", "held"),
    [
        ("The saw is inspected every 30 days", True),
        ("The saw is inspected every 31 days", False),
        ("Inspections of the saw take place every 30 days", True),
        ("It is inspected by Ada Brenk", False),
        ("Blue whales sing loudly", False),
        ("", False),
    ],
)
def test_numbers_and_names_must_stand_in_the_passage_and_other_words_mostly(statement: str, held: bool, index: PassageIndex) -> None:
    assert index.supports(statement, "How often is the saw inspected?", "The saw of hall 2 is inspected every 30 days.") is held


def test_what_is_said_in_other_scripts_is_compared_too(index: PassageIndex) -> None:
    assert index.supports("每三十天检查一次", "多久检查机器？", "机器每三十天检查一次。")
    assert not index.supports("从不检查", "机器是什么颜色？", "机器是红色的。")
