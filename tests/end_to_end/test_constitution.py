"""Constitutional AI on a very small world: a principle that its instructions never follow unasked is followed after the step, unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from data.universe.examples import SOURCE
from flows.services.home import home
from model.inference.chat_format import ChatFormat
from model.inference.generation import generate_batch
from model.inference.open_model import open_model
from tests.end_to_end.conftest import FinishedRun, run_at_home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def constitution(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home("constitution", tmp_path_factory.mktemp("constitution")) as finished:
        yield finished


def sourced(finished: FinishedRun, step: str) -> float:
    """Return the share of answers to held-out wordings that say where they are from."""
    chat_format = ChatFormat(finished.folder("tokenizer"))
    lines = (finished.folder("examples") / "instructions_val.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [chat_format.encode_chat(json.loads(line)["messages"][:1]) for line in lines]
    replies = generate_batch(open_model(finished.folder(step)).decoding(), prompts, 32, chat_format.stop_ids)
    return sum(chat_format.decode(reply).strip().endswith(SOURCE) for reply in replies) / len(replies)


def test_the_principle_is_followed_unasked_after_the_step_and_not_before(constitution: FinishedRun) -> None:
    before, after = sourced(constitution, "tune.sft"), sourced(constitution, "tune.orpo")
    print(f"answers with their source, in wordings held out: {before:.1%} before, {after:.1%} after")
    assert before < 0.1 and after > 0.8


def test_the_step_s_own_gate_passed_on_held_out_pairs(constitution: FinishedRun) -> None:
    assert constitution.artifacts["gate.orpo"].metrics["passed"] == 1
    metrics = constitution.artifacts["revise.orpo"].metrics
    print({name: round(value) for name, value in metrics.items()})
    assert metrics["train_questions"] == metrics["train_pairs"] + metrics["train_set_aside"]


def test_the_report_shows_answers_critiques_and_revisions(constitution: FinishedRun) -> None:
    page = (home() / "reports" / "constitution.html").read_text(encoding="utf-8")
    assert "What principles changed" in page and "orpo: answers and their revisions" in page and SOURCE in page
