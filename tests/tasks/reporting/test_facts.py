"""The report says which facts each step of tuning learned, and which it lost."""

from __future__ import annotations

from typing import Any

from tests.tasks.reporting.example_run import HOSTILE, RunMaker


def _answers(**right: bool) -> dict[str, list[dict[str, Any]]]:
    lines = [{"question": f"Where is {name}?", "reply": f"{name} {'here' if known else 'gone'}.", "right": known}
             for name, known in right.items()]  # fmt: skip
    return {"samples.jsonl": [], "answers_heldout.jsonl": lines}


def _measured(maker: RunMaker, **models: dict[str, list[dict[str, Any]]]) -> str:
    for step in ("sft", "dpo"):
        maker.made(f"tune.{step}", {"history.jsonl": [{"step": 1, "loss": 0.7}]}, config={"seed": 1, "train": {"kind": step, "steps": 1}})
    for position, files in models.items():
        maker.made(f"evaluate.{position}", files)
    return maker.page().sections.get("facts", "")


def test_facts_that_became_right_or_wrong_are_counted_by_step(maker: RunMaker) -> None:
    base, sft, chat = _answers(Ada=True, Bo=False, Cy=True), _answers(Ada=False, Bo=True, Cy=True), _answers(Ada=True, Bo=True, Cy=True)
    shown = _measured(maker, base=base, sft=sft, chat=chat)
    assert "after sft heldout 2 2 1 1 3" in shown, "a share that stays hides a fact learned and a fact lost"
    assert "after dpo heldout 2 3 1 0 3" in shown


def test_a_lost_fact_is_shown_with_both_replies(maker: RunMaker) -> None:
    shown = _measured(maker, base=_answers(Ada=True), sft=_answers(Ada=False), chat=_answers(Ada=False))
    assert "after sft Where is Ada? Ada here. Ada gone." in shown
    assert "after dpo Where is Ada?" not in shown, "it was lost by the step before"


def test_models_that_were_asked_other_questions_are_not_compared(maker: RunMaker) -> None:
    shown = _measured(maker, base=_answers(Ada=True), sft=_answers(Bo=True), chat=_answers(Bo=False))
    assert "after sft" not in shown
    assert "after dpo heldout 1 0 0 1 1" in shown


def test_replies_are_shown_as_text(maker: RunMaker) -> None:
    lost = {"samples.jsonl": [], "answers_seen.jsonl": [{"question": "Q?", "reply": HOSTILE, "right": False}]}
    known = {"samples.jsonl": [], "answers_seen.jsonl": [{"question": "Q?", "reply": HOSTILE, "right": True}]}
    assert HOSTILE in _measured(maker, base=known, sft=lost)
