"""Questions that are judged by more than their answers reach the rewards of rollouts whole."""

from __future__ import annotations

from pathlib import Path

from data.problems.config import ProgramProblems
from data.problems.make import add_problems
from model.inference.chat_format import ChatFormat
from model.rewards.kinds import Reply
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import read_prompts


def test_the_hidden_inputs_of_a_program_reach_the_reward_and_no_prompt_shows_them(chat_format: ChatFormat, tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / f"instructions_{part}.jsonl").write_text("")
    add_problems(tmp_path, ProgramProblems(taught=10, asked=10, heldout=5), (), 0)
    (reward,) = RolloutConfig.model_validate({"rewards": [{"kind": "program"}]}).rewards
    for prompt in read_prompts(tmp_path / "questions_programs.jsonl", chat_format, 256, 32):
        written, shown = prompt.question["answers"][0], chat_format.decode(prompt.tokens)
        assert prompt.question["question"] in shown and "trials" not in shown
        assert reward.build().score(Reply(prompt.question, written, True)) == 1
        assert reward.build().score(Reply(prompt.question, written.replace("return", "return not"), True)) == 0
