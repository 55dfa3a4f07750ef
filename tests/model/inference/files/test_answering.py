"""Files of prompts: each line is answered or told why not, and a run that was killed ends with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.inference.answering import Answerer, Answering
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.prompt_files import Ledger, LedgerError
from model.networks.decoder import Decoder
from tests.model.conftest import random_decoder

ASKED = Answering(SamplingConfig(temperature=0.9, max_new_tokens=12), seed=4, batch=3)
LINES: list[Any] = [
    {"prompt": "Ada walked"},
    {"id": "b", "messages": [{"role": "user", "content": "Who?"}], "seed": 5},
    {"id": 7, "prompt": "On day", "settings": {"temperature": 0, "max_new_tokens": 4}},
    {"id": "both", "prompt": "x", "messages": [{"role": "user", "content": "y"}]},
    {"id": "long", "prompt": "walk " * 100},
    {"prompt": "x", "settings": {"temperature": -1}},
    "no object",
    *({"id": n, "prompt": f"Bruno on day {n}"} for n in range(4)),
]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def run(
    decoder: Decoder, chat_format: ChatFormat, prompts: Path, answers: Path, asked: Answering = ASKED, parts: int | None = None
) -> Ledger:
    """Answer a file, or as many parts of it."""
    ledger = Ledger(answers, {"seed": asked.seed})
    ledger.open(restart=False)
    for number, _ in enumerate(Answerer(decoder.decoding(), chat_format, asked).answer(prompts, ledger), start=1):
        if number == parts:
            break
    return ledger


def test_a_line_whose_numbers_are_too_small_is_told_so_and_its_neighbours_are_answered(
    decoder: Decoder, chat_format: ChatFormat, tmp_path: Path
) -> None:
    path, answers = tmp_path / "p.jsonl", tmp_path / "a.jsonl"
    small: list[dict[str, float]] = [{"temperature": 1e-50}, {"repetition_penalty": 1e-45}, {"temperature": 0.9, "max_new_tokens": 2}]
    path.write_text("".join(json.dumps({"prompt": "Ada", "settings": settings}) + "\n" for settings in small))
    run(decoder, chat_format, path, answers)
    hot, rare, fine = (json.loads(line) for line in answers.read_text().splitlines())
    assert (
        hot["refused"]
        == "settings.temperature: 1e-50 is too small to divide by: give 0, which takes the likeliest token, or at least 0.0001"
    )
    assert "greater than or equal to 0.01" in rare["refused"] and fine["tokens"] == 2


def test_each_line_is_answered_in_order_or_told_why_not(decoder: Decoder, chat_format: ChatFormat, prompts: Path, tmp_path: Path) -> None:
    ledger = run(decoder, chat_format, prompts, tmp_path / "a.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, 12)) and answers[1]["id"] == "b"
    refused = {answer["line"]: answer["refused"] for answer in answers if "refused" in answer}
    assert set(refused) == {4, 5, 6, 7}
    assert "either prompt or messages" in refused[4] and "context is 64" in refused[5] and "settings.temperature" in refused[6]
    prompt = chat_format.encode_chat([{"role": "user", "content": "Who?"}])
    assert answers[1]["text"] == chat_format.decode(list(generate(decoder.decoding(), prompt, ASKED.settings, chat_format.stop_ids, 5)))
    assert answers[2]["tokens"] == 4 and "seed" not in answers[2] and answers[7]["seed"] != answers[8]["seed"]
    assert sum(part.written for part in ledger.parts) == 7 and sum(part.refused for part in ledger.parts) == 4


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    decoder: Decoder, chat_format: ChatFormat, prompts: Path, tmp_path: Path, parts: int
) -> None:
    whole = run(decoder, chat_format, prompts, tmp_path / "whole.jsonl")
    torn = run(decoder, chat_format, prompts, tmp_path / "torn.jsonl", parts=parts)
    # The next part was being written when the power went.
    with torn.answers.open("ab") as stream:
        stream.write(b'{"line": 7, "te')
    with torn.path.open("ab") as stream:
        stream.write(b'{"first": 7')
    run(decoder, chat_format, prompts, tmp_path / "torn.jsonl")
    assert torn.answers.read_bytes() == whole.answers.read_bytes() and torn.path.read_bytes() == whole.path.read_bytes()


def test_two_runs_are_never_mixed(decoder: Decoder, chat_format: ChatFormat, prompts: Path, tmp_path: Path) -> None:
    answers = tmp_path / "a.jsonl"
    run(decoder, chat_format, prompts, answers, parts=1)
    with pytest.raises(LedgerError, match="seed: 4 there, 5 here"):
        Ledger(answers, {"seed": 5}).open(restart=False)
    answers.write_bytes(b"x" + answers.read_bytes()[1:])
    with pytest.raises(LedgerError, match="lines 1 to 3 are not what was written"):
        Ledger(answers, {"seed": 4}).open(restart=False)
    Ledger(answers, {"seed": 5}).open(restart=True)
    assert answers.read_bytes() == b""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LedgerError, match="has no ledger"):
        Ledger(tmp_path / "mine.txt", {}).open(restart=False)


def test_a_draft_changes_no_answer_and_beams_tell_their_scores(
    decoder: Decoder, chat_format: ChatFormat, prompts: Path, tmp_path: Path
) -> None:
    run(decoder, chat_format, prompts, tmp_path / "plain.jsonl")
    ledger = Ledger(tmp_path / "drafted.jsonl", {"seed": 4})
    ledger.open(restart=False)
    list(Answerer(decoder.decoding(), chat_format, ASKED, random_decoder(decoder.vocab_size, seed=5).decoding()).answer(prompts, ledger))
    assert ledger.answers.read_bytes() == (tmp_path / "plain.jsonl").read_bytes()
    run(decoder, chat_format, prompts, tmp_path / "beams.jsonl", Answering(SamplingConfig(max_new_tokens=6), 4, 3, beams=3))
    first = json.loads((tmp_path / "beams.jsonl").read_text().splitlines()[0])
    assert len(first["others"]) == 2 and first["score"] >= first["others"][0]["score"]
    with pytest.raises(ValueError, match="--beams 3"):
        Answerer(decoder.decoding(), chat_format, Answering(SamplingConfig(temperature=1), beams=3))
