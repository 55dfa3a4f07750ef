"""A teacher writes questions about documents; what is wrong of it is dropped, what is right is kept, and nothing is asked twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data.decontamination.config import PASSAGES, DecontaminateConfig
from data.decontamination.decontaminate import find_contamination, search
from data.examples.config import DocumentExamples
from data.examples.documents import foreign
from data.examples.make import make_examples
from data.searching.index import build_index
from data.searching.passages import PASSAGES_FILE
from data.shards.address import ASKED, TAUGHT, TAUGHT_TEXTS, UNANSWERABLE, Teaching, declines
from data.tokens.config import EncodeConfig
from data.tokens.encode import encode
from model.pairing.critics import EndpointError
from model.pairing.teacher import CLOSED, JUDGE, OPEN, SET_ASIDE, read_pairs, teach
from tests.data.searching.handbook import handbook, write_documents
from tests.model.pairing.scripted_teacher import ScriptedTeacher, Truth, scripted_address, teacher_at
from tests.model.pairing.test_constitution import Address, said

TEXTS, FACTS = handbook(60, facts=6, seed=3)
TRUTH = Truth(FACTS)


@pytest.fixture
def address() -> Iterator[Address]:
    with scripted_address(TRUTH) as found:
        yield found


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("passages")
    config = DocumentExamples(teacher=teacher_at("http://127.0.0.1:1/v1"), passage_characters=300)
    documents = write_documents(place / "documents.parquet", TEXTS)
    build_index(documents, place / "index", config.indexing, threads=1, memory="1GB", scratch=place)
    return place / "index"


Taught = Callable[..., tuple[list[dict[str, Any]], dict[str, float]]]


@pytest.fixture
def taught(address: Address, passages: Path, tmp_path: Path) -> Taught:
    def made(**settings: Any) -> tuple[list[dict[str, Any]], dict[str, float]]:
        config = Teaching.model_validate({"teacher": teacher_at(address.url), "passages": 400, **settings})
        metrics = teach([passages / PASSAGES_FILE], tmp_path / "taught", config, journal=tmp_path / "replies.jsonl")
        return rows(tmp_path / "taught" / TAUGHT), metrics

    return made


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def config_of(address: Address, **more: Any) -> DocumentExamples:
    return DocumentExamples.model_validate({"kind": "documents", "teacher": teacher_at(address.url), "passage_characters": 300, **more})


def test_at_least_95_of_100_wrong_items_are_dropped_and_90_of_100_right_ones_kept_and_the_ledger_balances(
    address: Address, taught: Taught, passages: Path, tmp_path: Path
) -> None:
    items, _ = taught()
    metrics = make_examples([], None, tmp_path / "made", config_of(address), passages=[passages], taught=tmp_path / "taught" / TAUGHT)
    dropped = rows(tmp_path / "made" / "dropped.jsonl")
    seen = Counter(item["question"].strip() for item in items)
    right = {item["question"] for item in items if TRUTH.is_right(item) and seen[item["question"]] == 1}
    wrong = [item for item in items if not TRUTH.is_right(item)]
    left = {item["question"] for item in dropped}
    assert len(right) > 100 and len(wrong) > 60
    assert sum(item["question"] in left for item in wrong) >= 0.95 * len(wrong)
    assert len(right - left) >= 0.9 * len(right)
    assert metrics["taught"] == len(items) == metrics["kept"] + metrics["dropped"]
    reasons = {name.removeprefix("dropped."): count for name, count in metrics.items() if name.startswith("dropped.")}
    assert sum(reasons.values()) == metrics["dropped"] == len(dropped)
    assert {"copied_request", "duplicate", "known_without", "not_answerable", "unsupported"} <= set(reasons)


def test_what_is_learned_names_its_passage_and_teacher_and_no_held_out_passage_is_among_it(
    address: Address, taught: Taught, passages: Path, tmp_path: Path, tokenizer_dir: Path
) -> None:
    taught()
    made, again = tmp_path / "made", tmp_path / "again"
    for output in (made, again):
        make_examples([], None, output, config_of(address), passages=[passages], taught=tmp_path / "taught" / TAUGHT)
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    assert files == {path.name: path.read_bytes() for path in again.iterdir()}
    train, held = rows(made / "instructions_train.jsonl"), rows(made / "questions_heldout.jsonl")
    val = rows(made / "instructions_val.jsonl")
    assert train and held and val
    for line in train:
        name = line["document"].removeprefix("handbook/")
        assert TEXTS[name][line["start"] : line["end"]] == line["passage"] and line["passage"] in line["prompt"]
        assert (line["teacher"], line["synthetic"], len(line["books"])) == ("scripted", True, 1)
        assert [message["role"] for message in line["messages"]] == ["user", "assistant"]
    encoded = encode(made, tokenizer_dir, tmp_path / "rows", EncodeConfig(sequence_length=256))
    assert encoded["sft_train_kept"] == len(train)
    places = [{(line["books"][0], line["start"]) for line in lines} for lines in (train, val, held)]
    assert not places[0] & places[1] and not places[0] & places[2] and not places[1] & places[2]
    assert all(question["answers"] and question["fact"] == f"{question['books'][0]}:{question['start']}" for question in held)


def test_a_kill_asks_only_for_what_lacks_and_ends_with_the_same_bytes(address: Address, taught: Taught, tmp_path: Path) -> None:
    answer, count = address.answer, iter(range(10**6))

    def dying(messages: list[dict[str, str]]) -> dict[str, Any]:
        return {"status": 500, "error": {"message": "gone"}} if next(count) >= 40 else answer(messages)

    address.answer = dying
    with pytest.raises(EndpointError, match="brought no reply of scripted"):
        taught(passages=30)
    before = [json.dumps(request) for request in address.asked][:40]
    address.answer, address.asked[:] = answer, []
    taught(passages=30)
    after = [json.dumps(request) for request in address.asked]
    assert before and after and not set(before) & set(after)
    whole = (tmp_path / "taught" / TAUGHT).read_bytes()
    (tmp_path / "replies.jsonl").unlink()
    taught(passages=30)
    assert (tmp_path / "taught" / TAUGHT).read_bytes() == whole


@pytest.mark.parametrize("most", [7, 50, 100])
def test_a_budget_of_requests_is_never_exceeded_and_what_was_not_asked_is_named(
    address: Address, taught: Taught, tmp_path: Path, most: int
) -> None:
    items, metrics = taught(max_calls=most)
    aside = rows(tmp_path / "taught" / SET_ASIDE)
    assert items and len(address.asked) <= metrics["calls"] <= most
    assert metrics["passages"] == len({(item["id"], item["start"]) for item in items}) + len(aside)
    assert metrics["set_aside.budget"] == sum(row["reason"] == "budget" for row in aside) > 0


def test_a_budget_of_tokens_ends_asking_and_counts_what_the_address_says(address: Address, taught: Taught) -> None:
    count_tokens(address)
    _, metrics = taught(max_tokens=500)
    assert 500 <= metrics["tokens"] == 10 * len(address.asked) < 500 + 10 * 16 * 7
    assert metrics["set_aside.budget"] > 0


def count_tokens(address: Address) -> None:
    """Let the address say that each reply took 7 tokens to read and 3 to write."""
    answer = address.answer
    address.answer = lambda messages: {**answer(messages), "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}


def test_a_budget_of_money_ends_asking_by_the_prices_of_teacher_and_judge(address: Address, taught: Taught) -> None:
    count_tokens(address)
    priced = teacher_at(address.url, price_read=1000.0, price_written=2000.0)
    _, metrics = taught(teacher=priced, judge={**priced, "model": "second"}, max_cost=0.5)
    assert 0.5 <= metrics["cost"] < 0.5 + 0.013 * 16 * 10
    assert metrics["cost"] == pytest.approx(len(address.asked) * (7 * 1000 + 3 * 2000) / 1e6)
    assert metrics["set_aside.budget"] > 0


def test_a_budget_that_nobody_counts_is_refused(address: Address, taught: Taught) -> None:
    with pytest.raises(EndpointError, match=r"max_tokens needs tokens counted, and the address of examples\.teacher does not say"):
        taught(max_tokens=500)
    with pytest.raises(ValueError, match="max_cost=1 needs prices, and neither teacher nor judge has any"):
        taught(max_cost=1.0)
    with pytest.raises(ValueError, match="the prices of scripted do nothing without max_cost"):
        taught(teacher=teacher_at(address.url, price_read=1.0))


def test_a_judge_drops_what_it_refuses_and_counts_as_calls(address: Address, taught: Taught, passages: Path, tmp_path: Path) -> None:
    written, refused = ScriptedTeacher(TRUTH, wrong=0.0), FACTS[0].question

    def both(messages: list[dict[str, str]]) -> dict[str, Any]:
        asked = messages[-1]["content"]
        if asked.startswith(JUDGE[:30]):
            return said("No." if refused in asked else "Yes")
        return written(messages)

    address.answer = both
    items, metrics = taught(judge=teacher_at(address.url, model="second"))
    assert {item["judge"] for item in items} == {"second"} and metrics["calls"] == metrics["passages"] + 3 * len(items)
    counts = make_examples([], None, tmp_path / "made", config_of(address), passages=[passages], taught=tmp_path / "taught" / TAUGHT)
    dropped = rows(tmp_path / "made" / "dropped.jsonl")
    assert counts["dropped.refused_by_judge"] == 1 and refused in {row["question"] for row in dropped}


def test_what_is_in_another_language_than_its_passage_is_dropped_and_names_are_not() -> None:
    is_foreign = foreign()
    passage = "The lathe of hall 7 is inspected every 30 days, and looked after by Ada of Arlen."
    assert is_foreign("Wie oft wird die Drehbank in Halle 7 geprüft?", passage)
    assert not any(is_foreign(text, passage) for text in ("How often is the lathe of hall 7 inspected?", "Ada of Arlen", "Jarl", "30"))
    assert is_foreign("How often is the lathe inspected?", "Die Drehbank in Halle 7 wird alle 30 Tage geprüft, und Ada betreut sie.")


@pytest.mark.parametrize(
    ("reply", "phrases", "declined"),
    [
        ("Unanswerable.", (), True),
        ("The question is UNANSWERABLE from this passage", (), True),
        ("unanswerables", (), False),
        ("", (), False),
        ("Ich weiß es nicht.", (), False),
        ("Ich weiß es NICHT!", ("ich weiß es nicht",), True),
        ("申し訳ありませんが、分かりません。", ("分かりません",), True),
        ("मुझे नहीं पता।", ("नहीं पता",), True),
    ],
)
def test_a_reply_declines_by_the_word_that_was_asked_for_or_by_the_words_of_the_recipe(
    reply: str, phrases: tuple[str, ...], declined: bool
) -> None:
    assert declines(reply, phrases) is declined


def test_what_holds_text_of_an_evaluation_set_is_dropped(address: Address, taught: Taught, passages: Path, tmp_path: Path) -> None:
    items, _ = taught()
    place = tmp_path / "sets.jsonl"
    secret = next(item for item in items if TRUTH.is_right(item) and len(item["question"].split()) >= 8)
    place.write_text(json.dumps({"question": secret["question"]}) + "\n")
    against = DecontaminateConfig.model_validate({"against": [{"name": "exam", "paths": ["sets.jsonl"]}]})
    limits: dict[str, Any] = {"threads": 1, "memory": "1GB", "scratch": tmp_path}
    search(tmp_path / "taught" / TAUGHT_TEXTS, tmp_path / "found", against.searching, root=tmp_path, observed=None, **limits)
    find_contamination([tmp_path / "found"], tmp_path / "decided", against.deciding(1), **limits)
    counts = make_examples(
        [], None, tmp_path / "made", config_of(address), passages=[passages], taught=tmp_path / "taught" / TAUGHT,
        contaminated=tmp_path / "decided" / PASSAGES.format(0),
    )  # fmt: skip
    dropped = {row["question"] for row in rows(tmp_path / "made" / "dropped.jsonl") if row["reason"] == "contaminated"}
    assert counts["dropped.contaminated"] >= 1 and dropped == {secret["question"]}


def test_what_repeats_the_passage_of_a_held_out_question_is_dropped(
    address: Address, taught: Taught, passages: Path, tmp_path: Path
) -> None:
    items, _ = taught()
    config, file = config_of(address), tmp_path / "twice.jsonl"
    # Each document stands twice, and the teacher asks otherwise about the second one.
    copies = [{**item, "id": f"{item['id']}x", "question": f"Pray, {item['question']}"} for item in items]
    file.write_text("".join(json.dumps(item) + "\n" for item in [*items, *copies]), encoding="utf-8")
    counts = make_examples([], None, tmp_path / "made", config, passages=[passages], taught=file)
    learned = {line["passage"] for line in rows(tmp_path / "made" / "instructions_train.jsonl")}
    about = {line["messages"][0]["content"].removeprefix("Pray, ") for line in rows(tmp_path / "made" / "instructions_train.jsonl")}
    held = rows(tmp_path / "made" / "questions_heldout.jsonl")
    assert counts["dropped.held_out"] > 0 and learned and held
    assert not about & {line["question"].removeprefix("Pray, ") for line in held}


def test_a_reply_without_questions_is_set_aside_with_what_was_said(address: Address, taught: Taught, tmp_path: Path) -> None:
    address.answer = lambda messages: said("I would rather not.") if messages[0]["content"].startswith("Write") else said("Ada")
    items, metrics = taught(passages=3)
    aside = rows(tmp_path / "taught" / SET_ASIDE)
    assert items == [] and metrics["set_aside.unreadable"] == 3 and {row["said"] for row in aside} == {"I would rather not."}


def test_when_nothing_is_left_the_error_counts_why(address: Address, taught: Taught, passages: Path, tmp_path: Path) -> None:
    address.answer = lambda messages: said("Q: Who is it, then?\nA: Nobody at all")
    taught(passages=4)
    with pytest.raises(ValueError, match="no question is left for training: 4 unsupported"):
        make_examples([], None, tmp_path / "made", config_of(address), passages=[passages], taught=tmp_path / "taught" / TAUGHT)


FOUND: dict[str, Any] = {
    "kind": "patterns",
    "patterns": [
        {
            "find": r"^The (?P<tool>\w+) of (?P<hall>hall \d+) is inspected every (?P<days>\d+) days\.$",
            "question": "How often is the {tool} of {hall} inspected?",
            "answer": "every {days} days",
        }
    ],
}


def read_off(passages: Path, place: Path, **more: Any) -> tuple[list[dict[str, Any]], dict[str, float], DocumentExamples]:
    config = DocumentExamples.model_validate(
        {"kind": "documents", "teacher": FOUND, "passage_characters": 300, "passages": 400, "questions": 20, **more}
    )
    metrics = teach([passages / PASSAGES_FILE], place / "taught", config.teaching, journal=place / "replies.jsonl")
    return rows(place / "taught" / TAUGHT), metrics, config


def test_patterns_read_off_what_documents_say_and_ask_nobody(passages: Path, tmp_path: Path) -> None:
    items, metrics, config = read_off(passages, tmp_path)
    expected = {fact.question for fact in FACTS if "inspected every" in fact.sentence}
    assert {item["question"] for item in items} == expected and metrics["calls"] == metrics["tokens"] == 0
    assert all(item["quoted"] in item["text"] and item["teacher"] == "patterns" for item in items)
    counts = make_examples([], None, tmp_path / "made", config, passages=[passages], taught=tmp_path / "taught" / TAUGHT)
    assert counts["kept"] == len(items) > 20


def test_a_question_is_learned_with_its_passage_among_others_which_it_cites_or_without_which_it_declines(
    passages: Path, tmp_path: Path
) -> None:
    limits: Any = {"threads": 1, "memory": "1GB", "scratch": tmp_path}
    _, _, config = read_off(passages, tmp_path, shown=3, without_answer=0.4)
    for output in ("made", "again"):
        make_examples([], None, tmp_path / output, config, passages=[passages], taught=tmp_path / "taught" / TAUGHT, limits=limits)
    learned = rows(tmp_path / "made" / "instructions_train.jsonl")
    assert learned == rows(tmp_path / "again" / "instructions_train.jsonl")
    shown = [line for line in learned if line["messages"][0]["content"].startswith(ASKED)]
    assert len(shown) * 2 == len(learned)
    answers = [line["messages"][1]["content"] for line in shown]
    assert 0.2 < answers.count(UNANSWERABLE) / len(answers) < 0.6
    places = set()
    for line, answer in zip(shown, answers, strict=True):
        asked = line["messages"][0]["content"]
        assert asked.count("\n\n[") == 3
        if answer == UNANSWERABLE:
            assert line["passage"] not in asked
        else:
            number = int(answer.rpartition("[")[2][:-1])
            assert f"[{number}] {line['passage']}" in asked
            places.add(number)
    assert places == {1, 2, 3}
    held_texts = {line["passage"] for line in rows(tmp_path / "made" / "questions_heldout.jsonl")}
    assert not any(text in line["messages"][0]["content"] for text in held_texts for line in shown)


def test_a_sentence_around_the_answer_is_learned_and_the_answer_alone_is_asked_for(passages: Path, tmp_path: Path) -> None:
    (pattern,) = FOUND["patterns"]
    sentence = "The {tool} of {hall} is inspected every {days} days."
    teacher = {"kind": "patterns", "patterns": [{**pattern, "sentence": sentence}]}
    items, _, config = read_off(passages, tmp_path, shown=2, teacher=teacher)
    limits: Any = {"threads": 1, "memory": "1GB", "scratch": tmp_path}
    make_examples([], None, tmp_path / "made", config, passages=[passages], taught=tmp_path / "taught" / TAUGHT, limits=limits)
    learned = [line["messages"] for line in rows(tmp_path / "made" / "instructions_train.jsonl")]
    told = {item["question"]: item["sentence"] for item in items}
    for asked, answered in learned:
        question = asked["content"].rpartition("Question: ")[2]
        assert answered["content"] == UNANSWERABLE or answered["content"].startswith(told[question].rstrip("."))
    assert any(answered["content"].endswith(" days [1]") for _, answered in learned)
    held = rows(tmp_path / "made" / "questions_heldout.jsonl")
    assert held and all(question["answers"][0].startswith("every ") for question in held)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"find": "(", "question": "Who?", "answer": "A"}, "is no regular expression"),
        ({"find": "(?P<a>x)", "question": "Who is {b}?", "answer": "{a}"}, "can't be filled in: 'b'; the groups of find are a"),
        ({"find": "(?P<a>x)", "question": "Who?", "answer": "{}"}, "can't be filled in"),
        ({"find": "(?P<a>x)", "question": "Who?", "answer": "{a}", "sentence": "It is he."}, "lacks the answer, '{a}', which it is"),
    ],
)
def test_a_pattern_that_cannot_be_filled_in_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Teaching.model_validate({"teacher": {"kind": "patterns", "patterns": [given]}})


def test_patterns_take_no_budget() -> None:
    with pytest.raises(ValueError, match=r"max_calls does nothing with teacher\.kind=patterns, which asks nobody"):
        Teaching.model_validate({"teacher": FOUND, "max_calls": 5})


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Q: Who?\nA: Ada", [("Who?", "Ada")]),
        ("1. **Q:** Who?\n   **A:** Ada\n\n2. **Q:** Why?\n   **A:** So.", [("Who?", "Ada"), ("Why?", "So.")]),
        ("Q1: Who?\nA1: Ada", [("Who?", "Ada")]),
        ("Q: Who?\nQ: Why?\nA: So", [("Why?", "So")]),
        ("Here you are!", []),
        ("A: So\nQ: Who?", []),
    ],
)
def test_questions_are_read_from_lines_however_they_are_decorated(text: str, pairs: list[tuple[str, str]]) -> None:
    assert read_pairs(text) == pairs


def test_the_check_without_a_passage_shows_none() -> None:
    assert "{text}" in OPEN and "{text}" not in CLOSED
