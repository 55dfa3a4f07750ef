"""Pairs by principles: an answer that was criticized and revised is preferred to the first one, and nothing unusable is learned."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.shards.reader import ShardReader
from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.directory import save_model
from model.pairing.config import ConstitutionPairs, EndpointCritic, OwnCritic, Principle
from model.pairing.constitution import principle_of, revise_by_principles
from model.pairing.critics import EndpointError

POLITE = Principle(critique="How is this rude?", revision="Say it politely.")
SHORT = Principle(critique="What is too long?", revision="Say it in short.")
QUESTIONS = [f"Who walked on day {number}?" for number in range(60)]
Answering = Callable[[list[dict[str, str]]], dict[str, Any]]


def said(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}]}


class Address:
    """A server that speaks OpenAI's chat completions over HTTP, and answers as a test wants."""

    def __init__(self, answer: Answering) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answer = answer
        address = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the base class's name
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                address.asked.append(request)
                address.keys.append(self.headers["Authorization"])
                told = address.answer(request["messages"])
                body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": request["model"], **told}).encode()
                self.send_response(told.get("status", 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def address() -> Iterator[Address]:
    found = Address(politely)
    yield found
    found.server.shutdown()
    found.server.server_close()


def politely(messages: list[dict[str, str]]) -> dict[str, Any]:
    return said("It says nothing kind." if messages[-1]["content"] == POLITE.critique else "Please: Avel walked.")


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("said")
    lines = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Brin."}], "books": [f"{number:016x}"]}
        for number, text in enumerate(QUESTIONS)
    ]
    tools = {"messages": lines[0]["messages"], "tools": [{"type": "function"}]}
    for split in ("train", "val"):
        told = [*lines, lines[0], tools]
        (folder / f"instructions_{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    return folder


Maker = Callable[..., tuple[Path, dict[str, float]]]


@pytest.fixture
def make(tmp_path: Path, model_dir: Path, tokenizer_dir: Path, conversations: Path) -> Maker:
    def made(name: str = "out", **settings: Any) -> tuple[Path, dict[str, float]]:
        config = ConstitutionPairs.model_validate({"principles": (POLITE,), "max_new_tokens": 6, "questions": 64, **settings})
        journal = tmp_path / "replies.jsonl"
        return tmp_path / name, revise_by_principles(
            model_dir, tokenizer_dir, conversations, tmp_path / name, config, threads=1, journal=journal
        )

    return made


def lines_of(output: Path, name: str = "pairs_train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / f"{name}.jsonl").read_text().splitlines()]


def ending(address: Address, **more: Any) -> dict[str, Any]:
    """A critic at an address, and first answers long enough to end."""
    return {"critic": EndpointCritic(url=address.url, model="judge", tries=1, **more), "max_new_tokens": 60}


def test_the_revision_is_chosen_and_the_first_answer_rejected_with_what_was_said_of_it(make: Maker, address: Address) -> None:
    output, metrics = make(**ending(address))
    pairs = lines_of(output)
    assert pairs and metrics["train_pairs"] == len(pairs)
    for pair in pairs:
        assert pair["chosen"] == "Please: Avel walked." and pair["rejected"] and pair["rejected"] != pair["chosen"]
        assert pair["synthetic"] is True and pair["critic"] == "judge" and len(pair["books"]) == 1
        assert pair["rounds"] == [
            {
                "critique_request": POLITE.critique,
                "critique": "It says nothing kind.",
                "revision_request": POLITE.revision,
                "revision": "Please: Avel walked.",
            }
        ]
    asked = next(request["messages"] for request in address.asked if request["messages"][-1]["content"] == POLITE.revision)
    assert [message["role"] for message in asked] == ["user", "assistant", "user", "assistant", "user"]
    assert asked[0]["content"] in QUESTIONS and asked[3]["content"] == "It says nothing kind."


def test_rows_hold_both_answers_after_the_same_prompt_and_learn_from_answers_alone(
    make: Maker, address: Address, chat_format: ChatFormat
) -> None:
    output, _ = make(**ending(address))
    pairs, rows = lines_of(output), ShardReader(output / "preference" / "train").rows(list(range(len(lines_of(output)))))
    for number, pair in enumerate(pairs):
        prompt = chat_format.encode_chat(pair["messages"])
        for side in ("chosen", "rejected"):
            whole = chat_format.encode_chat([*pair["messages"], {"role": "assistant", "content": pair[side]}], reply_next=False)
            assert rows[side][number, : len(whole)].tolist() == whole
            assert rows[f"{side}_loss"][number].nonzero()[0].tolist() == list(range(len(prompt), len(whole)))


def test_every_question_becomes_a_pair_or_is_set_aside_with_a_reason(make: Maker, address: Address) -> None:
    count = iter(range(1000))

    def answer(messages: list[dict[str, str]]) -> dict[str, Any]:
        if messages[-1]["content"] == POLITE.critique:
            return said("Rude.")
        kinds = [
            said("Please: Avel walked."),
            said(" "),
            said("Please, Av", "length"),
            said("", "content_filter"),
            said("rude"),
            said(messages[1]["content"].replace(" ", "  ")),
            said("Please " * 500),
        ]
        return kinds[next(count) % len(kinds)]

    address.answer = answer
    output, metrics = make(**ending(address, at_once=1))
    aside = lines_of(output, "set_aside")
    assert len(lines_of(output)) + len([line for line in aside if line["split"] == "train"]) == metrics["train_questions"] == len(QUESTIONS)
    reasons = Counter(line["reason"] for line in aside)
    wanted = {"revision_empty", "revision_unended", "revision_refused", "revision_repeats", "unchanged", "revision_too_long"}
    assert set(reasons) - {"answer_unended", "answer_empty"} == wanted
    for split in ("train", "val"):
        told = {
            name.removeprefix(f"{split}_set_aside."): value for name, value in metrics.items() if name.startswith(f"{split}_set_aside.")
        }
        assert told == Counter(line["reason"] for line in aside if line["split"] == split)
    assert all(line["synthetic"] for line in aside)


def test_a_change_of_case_or_marks_alone_is_a_revision(make: Maker, address: Address) -> None:
    address.answer = lambda messages: said(
        "Quiet." if messages[-1]["content"] == POLITE.critique else messages[1]["content"].swapcase() + "!"
    )
    output, metrics = make(**ending(address))
    assert lines_of(output) and "train_set_aside.unchanged" not in metrics


def test_half_a_character_in_a_reply_is_replaced(make: Maker, address: Address) -> None:
    address.answer = lambda messages: said("Rude." if messages[-1]["content"] == POLITE.critique else "Please \ud83d now.")
    output, _ = make(**ending(address))
    assert {line["chosen"] for line in lines_of(output)} == {"Please ? now."}


def test_each_round_revises_the_last_revision_by_another_principle(make: Maker, address: Address) -> None:
    address.answer = lambda messages: said(f"{messages[1]['content']} {len(messages)}")
    output, _ = make(**ending(address), principles=(POLITE, SHORT), rounds=2)
    for pair in lines_of(output):
        first, second = pair["rounds"]
        assert {first["critique_request"], second["critique_request"]} == {POLITE.critique, SHORT.critique}
        assert second["revision"].startswith(first["revision"]) and pair["chosen"] == second["revision"]


def test_principles_are_drawn_by_the_seed_and_none_comes_twice_before_all_have_come() -> None:
    config = ConstitutionPairs(principles=(POLITE, SHORT), rounds=4)
    drawn = [[principle_of(line, number, config) for number in range(4)] for line in range(50)]
    assert all(four[:2] == four[2:] and four[0] != four[1] for four in drawn)
    assert 10 < sum(four[0] == POLITE for four in drawn) < 40
    other = config.model_copy(update={"seed": 1})
    assert drawn != [[principle_of(line, number, other) for number in range(4)] for line in range(50)]


def test_a_run_that_was_killed_asks_an_address_only_for_what_lacks(make: Maker, address: Address, tmp_path: Path) -> None:
    whole, _ = make(**ending(address))
    asked, journal = len(address.asked), tmp_path / "replies.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == asked
    journal.write_text("".join(lines[:5]) + lines[5][:20])
    again, _ = make("again", **ending(address))
    assert len(address.asked) == asked + asked - 5
    for name in ("pairs_train.jsonl", "pairs_val.jsonl", "set_aside.jsonl"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_an_address_that_fails_ends_the_stage_and_what_it_said_is_kept(make: Maker, address: Address, tmp_path: Path) -> None:
    count = iter(range(1000))
    address.answer = lambda messages: politely(messages) if next(count) < 3 else {"status": 500, "error": {"message": "out of memory"}}
    with pytest.raises(EndpointError, match=rf"{address.url} brought no reply of judge.*run the same again"):
        make(**ending(address, at_once=1))
    assert len((tmp_path / "replies.jsonl").read_text().splitlines()) == 3
    asked = len(address.asked)
    assert asked < 20, "nothing more is asked after a failure"
    address.answer = lambda messages: {"status": 200}
    with pytest.raises(EndpointError, match="correct the url"):
        make("other", **ending(address, at_once=1))


@pytest.mark.parametrize("at_once", [1, 8])
def test_an_address_that_wants_another_name_for_the_longest_reply_gets_it(make: Maker, address: Address, at_once: int) -> None:
    plain, _ = make(**ending(address))
    refusal = {"status": 400, "error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
    address.answer = lambda messages: refusal if "max_tokens" in address.asked[-1] else politely(messages)
    address.asked.clear()
    (plain.parent / "replies.jsonl").unlink()
    again, _ = make("again", **ending(address, at_once=at_once))
    refused = sum("max_tokens" in request for request in address.asked)
    assert 1 <= refused <= at_once
    assert {request.get("max_completion_tokens", 60) for request in address.asked} == {60}
    assert (again / "pairs_train.jsonl").read_bytes() == (plain / "pairs_train.jsonl").read_bytes()


def test_the_key_is_sent_from_the_environment_and_written_nowhere(
    make: Maker, address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRITIC_KEY", raising=False)
    with pytest.raises(EndpointError, match="CRITIC_KEY"):
        make(**ending(address, key_variable="CRITIC_KEY"))
    monkeypatch.setenv("CRITIC_KEY", "sk-secret-of-mine")
    make(**ending(address, key_variable="CRITIC_KEY"))
    assert set(address.keys) == {"Bearer sk-secret-of-mine"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"sk-secret" in path.read_bytes()]


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://host/v1", "http://me:secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_without_a_scheme_or_with_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EndpointCritic(url=url, model="judge")
    assert "http" in str(refused.value) or "key_variable" in str(refused.value)


def test_a_model_is_its_own_critic_and_gives_the_same_bytes_again(
    tmp_path: Path, tokenizer_dir: Path, conversations: Path, chat_format: ChatFormat
) -> None:
    size = chat_format.tokenizer.get_vocab_size()
    shape = DecoderConfig(width=16, layers=1, heads=2, kv_heads=1, feed_forward=32, context=1024)
    save_model(shape.build(size, seed=1), tmp_path / "model")
    config = ConstitutionPairs(
        principles=(POLITE, SHORT), critic=OwnCritic(temperature=1.0), max_new_tokens=250, questions=40, rounds=1, seed=3
    )
    made = []
    for name in ("first", "second"):
        made.append(tmp_path / name)
        metrics = revise_by_principles(
            tmp_path / "model", tokenizer_dir, conversations, made[-1], config, threads=1, journal=tmp_path / "unused"
        )
    first, second = made
    assert metrics["train_pairs"] > 0 and {line["critic"] for line in lines_of(first)} == {"own"}
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)


def test_a_critic_that_changes_nothing_leaves_nothing_to_learn_and_says_so(make: Maker, address: Address) -> None:
    address.answer = lambda messages: said("Nothing." if messages[-1]["content"] == POLITE.critique else messages[1]["content"])
    with pytest.raises(ValueError, match=r"no answer to 60 questions became a pair: .*unchanged.*change principles"):
        make(**ending(address))
