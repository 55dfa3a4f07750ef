"""Rollouts are made once, written, then learned from; what they hold follows from seed, cycle, prompt and sample alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import Completion, sample_batch
from model.loading.order import batch_indices, rank_share
from model.loading.source import BatchShare, StepRows
from model.networks.network import Network
from model.objectives.grpo import Grpo
from model.rewards.answers import is_right
from model.rollouts.config import RolloutConfig
from model.rollouts.cycle import Prompt, Rollout, TokenizerBinding, columns, read_prompts
from model.rollouts.rollouts import Rollouts
from model.seeds import draw_seed
from tests.model.rollouts.policies import OneWorker

SMALL = {"prompts": 3, "group": 4, "inner_epochs": 2, "max_new_tokens": 6, "temperature": 0.7}
CONFIG = RolloutConfig.model_validate(SMALL)
PER_UPDATE = 6  # so a cycle of 12 replies, learned from twice, is 4 updates
PLACES = ("Avel", "Brin", "Corve", "Dunmere")


@dataclass(frozen=True)
class Schedule:
    def batch_at(self, update: int) -> int:
        return PER_UPDATE

    def sequences_before(self, update: int) -> int:
        return update * PER_UPDATE


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    lines = [{"question": f"Who walked to {place}?", "answers": ["a", "e"], "fact": place} for place in PLACES]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def source(
    policy: OneWorker,
    questions: Path,
    chat_format: ChatFormat,
    folder: Path,
    rank: int = 0,
    workers: int = 1,
    *,
    config: RolloutConfig = CONFIG,
    objective: Grpo | None = None,
) -> Rollouts:
    return Rollouts(
        read_prompts(questions, chat_format, policy.network.config.context, config.max_new_tokens),
        config,
        policy,
        objective or Grpo(max_new_tokens=config.max_new_tokens, temperature=config.temperature),
        Schedule(),
        BatchShare(rank, workers, 3, torch.device("cpu")),
        seed=5,
        chat_format=chat_format,
        tokenizer=TokenizerBinding(chat_format.digest, policy.network.vocab_size),
        folder=folder,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replies_of(folder: Path, cycle: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"cycle-{cycle:06d}" / "replies.jsonl").read_text().splitlines()]


def test_a_row_holds_prompt_and_reply_and_with_what_log_probability_each_of_its_tokens_was_drawn(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts").step(0)
    rows = ShardReader(tmp_path / "rollouts" / "cycle-000000")
    found, replies = rows.rows(range(12)), replies_of(tmp_path / "rollouts", 0)
    assert len(rows) == len(replies) == 12 and found["group"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for row, reply in enumerate(replies):
        prompt = chat_format.encode_chat([{"role": "user", "content": str(reply["question"])}])
        seed = draw_seed(5, 0, row // 4, row % 4)
        (alone,) = sample_batch(
            decoder.decoding(), [prompt], [seed], SamplingConfig(temperature=0.7, max_new_tokens=6), chat_format.stop_ids
        )
        end = len(prompt) + len(alone.tokens)
        assert found["tokens"][row, :end].tolist() == [*prompt, *alone.tokens]
        assert np.flatnonzero(found["loss"][row]).tolist() == list(range(len(prompt), end))
        np.testing.assert_allclose(found["log_probability"][row, len(prompt) : end], alone.log_probabilities, atol=1e-4)
        assert found["reward"][row] == float(is_right(str(reply["reply"]), ["a", "e"])) == reply["reward"]
        assert reply["reply"] == chat_format.decode(alone.tokens) and reply["ended"] == alone.ended
    for group in range(3):
        same = slice(4 * group, 4 * group + 4)
        np.testing.assert_allclose(found["group_mean"][same], np.mean(found["reward"][same]), atol=1e-6)
        np.testing.assert_allclose(found["group_deviation"][same], np.std(found["reward"][same], ddof=1), atol=1e-6)


def test_a_group_whose_replies_all_earned_the_same_has_no_deviation() -> None:
    prompt = Prompt({"question": "Who?", "answers": ["a"], "fact": "f"}, [1, 2])
    group = [Rollout(prompt, 0, Completion([5], [-1.0], True), "a", {"answer": 0.1}) for _ in range(6)]
    assert np.std([rollout.reward for rollout in group], ddof=1) > 0, "rounding makes one"
    assert columns(group, 4, np.dtype(np.uint16))["group_deviation"].tolist() == [0] * 6


def test_a_cycle_is_sampled_once_and_each_inner_epoch_holds_each_of_its_replies_once(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    policy = OneWorker(decoder)
    rollouts = source(policy, questions, chat_format, tmp_path / "rollouts")
    for cycle in range(2):
        orders: list[list[float]] = []
        for epoch in range(2):
            updates = [rollouts.step(4 * cycle + 2 * epoch + half) for half in range(2)]
            batches = [batch for rows in updates for batch in rows.micro_batches]
            assert policy.calls == cycle + 1 and [len(batch["tokens"]) for batch in batches] == [3] * 4
            orders.append([value for batch in batches for value in batch["log_probability"].sum(1).tolist()])
        written = ShardReader(tmp_path / "rollouts" / f"cycle-{cycle:06d}").rows(range(12))["log_probability"].sum(1)
        assert orders[0] != orders[1]
        for order in orders:
            np.testing.assert_allclose(sorted(order), sorted(written), rtol=1e-5)


def test_every_question_is_asked_once_before_any_is_asked_again(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    rollouts = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts")
    for cycle in range(4):
        rollouts.step(4 * cycle)
    asked = [str(reply["fact"]) for cycle in range(4) for reply in replies_of(tmp_path / "rollouts", cycle)[::4]]
    assert [sorted(asked[at : at + 4]) for at in (0, 4, 8)] == [list(PLACES)] * 3


@pytest.mark.parametrize("killed_in", [1, 2])
def test_rollouts_killed_while_sampling_are_made_again_and_written_ones_read_again(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path, killed_in: int
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    whole = source(OneWorker(decoder), questions, chat_format, undisturbed)
    for update in range(8):
        whole.step(update)
    first = source(OneWorker(decoder, killed_in), questions, chat_format, killed)
    with pytest.raises(KeyboardInterrupt):
        for update in range(8):
            first.step(update)
    partial = killed / f"cycle-{killed_in - 1:06d}.partial"  # what a kill while writing leaves
    partial.mkdir(parents=True)
    (partial / "shards.json").write_text("{")
    policy = OneWorker(decoder)
    again = source(policy, questions, chat_format, killed)
    for update in range(8):
        again.step(update)
    assert policy.calls == 3 - killed_in
    again.finish(tmp_path / "output")
    assert files(undisturbed) == files(killed) == files(tmp_path / "output" / "rollouts")


def test_a_micro_batch_holds_replies_of_like_length_and_is_no_wider_than_its_longest(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    rollouts = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts")
    kinds = set()
    for update in range(8):
        ends = []
        for batch in rollouts.step(update).micro_batches:
            ends.append([int(counted.nonzero()[-1]) + 1 for counted in batch["counts"]])
            assert batch["tokens"].shape[1] == max(ends[-1])
        every = [end for ends_of_batch in ends for end in ends_of_batch]
        assert every == sorted(every)
        kinds.update(every)
    assert len(kinds) > 1, "replies of one length need no order"


def test_workers_share_the_rows_of_one_worker(decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path) -> None:
    alone = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts")
    two = [source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts", rank, workers=2) for rank in range(2)]
    for update in range(4):
        whole, parts = alone.step(update), [worker.step(update) for worker in two]
        assert whole.units == {name: sum(part.units[name] for part in parts) for name in whole.units}
        assert whole.globals == {name: sum(part.globals[name] for part in parts) for name in whole.globals}
        # A drawn reply's log-probabilities are its own, so they tell rows apart.
        drawn = [sorted(row for part in step for row in _drawn(part)) for step in ([whole], parts)]
        assert drawn[0] == drawn[1]
        cut = rank_share(batch_indices(5, update * PER_UPDATE, PER_UPDATE, 12), 0, 2)
        rows = ShardReader(tmp_path / "rollouts" / "cycle-000000").rows(cut)
        assert sorted(_drawn(parts[0])) == sorted(tuple(row[row != 0].tolist()) for row in rows["log_probability"])


def _drawn(step: StepRows) -> list[tuple[float, ...]]:
    return [tuple(row[row != 0].tolist()) for batch in step.micro_batches for row in batch["log_probability"]]


def test_rows_left_out_by_a_rollback_are_those_of_its_updates_and_later_ones_move_up(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    plain = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts")
    back = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts")
    for update in range(3, 6):
        later = plain.step(update + 1)
        for found, expected in zip(back.step(update, skipped=PER_UPDATE).micro_batches, later.micro_batches, strict=True):
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_damaged_rollouts_and_those_missing_in_the_middle_of_a_cycle_are_refused(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    with pytest.raises(ShardError, match=r"cycle-000001 is missing.* remove .* to start afresh"):
        source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts").step(5)
    source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts").step(4)
    path = tmp_path / "rollouts" / "cycle-000001" / "00000.arrow"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ShardError, match="was changed or damaged"):
        source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts").step(5)


def test_a_question_without_room_for_a_reply_is_refused_by_number(decoder: Network, chat_format: ChatFormat, questions: Path) -> None:
    with pytest.raises(ValueError, match=r"question 1 is \d+ tokens .* max_new_tokens=60 .* lower max_new_tokens"):
        read_prompts(questions, chat_format, decoder.config.context, 60)


REFUSED = [
    ({"rewards": [{"kind": "answer"}, {"kind": "answer", "weight": 2}]}, "names kind=answer twice"),
    ({"rewards": [{"kind": "answer", "name": "x"}, {"kind": "concise", "name": "x"}]}, "rewards has two called 'x'"),
    ({"rewards": [{"kind": "answer"}], "verifier": {"kind": "answer"}}, "verifier.kind=answer is a reward too"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_rewards_that_can_not_be_told_apart_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutConfig.model_validate(settings)


def test_each_reward_is_reported_apart_and_a_verifier_beside_them(
    decoder: Network, chat_format: ChatFormat, questions: Path, tmp_path: Path
) -> None:
    rewards = [{"kind": "answer"}, {"kind": "length", "name": "long", "weight": 0.5, "limit": 6, "allowance": 5}]
    config = RolloutConfig.model_validate({**SMALL, "rewards": rewards, "verifier": {"kind": "concise"}})
    objective = Grpo(max_new_tokens=6, temperature=0.7, kl_weight=0.0, rewards=("answer", "long"), verified=True)
    rollouts = source(OneWorker(decoder), questions, chat_format, tmp_path / "rollouts", config=config, objective=objective)
    batches = rollouts.step(0)
    (batch, *_), found = batches.micro_batches, ShardReader(tmp_path / "rollouts" / "cycle-000000").rows(range(12))
    np.testing.assert_allclose(found["reward"], found["reward_answer"] + found["reward_long"], atol=1e-6)
    with torch.no_grad():
        sums = dict(zip([term.name for term in objective.terms], objective.sums({"policy": decoder}, batch).tolist(), strict=True))
    assert sums["reward"] == pytest.approx(sums["reward_answer"] + sums["reward_long"], abs=1e-5) and sums["reward_long"] < 0
    assert batches.units["replies"] == 6 and 0 <= sums["verified"] <= 3
    lines = replies_of(tmp_path / "rollouts", 0)
    assert [line["verified"] for line in lines] == found["verified"].tolist()
    assert [line["rewards"]["long"] for line in lines] == pytest.approx(found["reward_long"].tolist())


def test_groups_that_teach_nothing_are_sampled_again_to_other_prompts(decoder: Network, chat_format: ChatFormat, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    # What the model says to none of these is ever right, but for the last, where nearly anything is.
    lines = [{"question": f"Who walked to {place}?", "answers": ["zzz"], "fact": place} for place in "abcdefg"]
    lines.append({"question": "Who?", "answers": ["a", "e", "from", "to", "on", "in", "day"], "fact": "h"})
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plain, again = (CONFIG.model_copy(update={"group": 8, "prompts": 2, "resample": rounds}) for rounds in (0, 6))
    shares, calls = [], []
    for name, config in (("plain", plain), ("again", again)):
        policy = OneWorker(decoder)
        source(policy, questions, chat_format, tmp_path / name, config=config).step(0)
        found = ShardReader(tmp_path / name / "cycle-000000").rows(range(16))
        shares.append(float((found["group_deviation"] > 0).mean()))
        calls.append(policy.calls)
        assert found["group"].tolist() == [0] * 8 + [1] * 8
    assert calls[0] == 1 < calls[1] and shares[0] <= shares[1]
    twice = source(OneWorker(decoder), questions, chat_format, tmp_path / "twice", config=again)
    twice.step(0)
    assert files(tmp_path / "twice") == files(tmp_path / "again")
