"""Aims of fine-tuning and of reinforcement learning, against the same in plain Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.shards.reader import ShardReader
from model.aims.protocol import HeldOut
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.networks.scalar_heads import add_head, of_heads, save_heads
from model.rewards.answers import is_right
from model.rollouts.config import RolloutConfig
from model.seeds import draw_seed
from model.training.config import GrpoConfig, PpoConfig, SftConfig
from tests.model.training.rollout_jobs import WORDS

ASKED, GROUP = 7, 3
ROLLOUTS = RolloutConfig.model_validate(
    {"prompts": 4, "group": GROUP, "max_new_tokens": 8, "temperature": 0.9, "rewards": [{"kind": "answer", "weight": 2.0}]}
)


@pytest.fixture(scope="module")
def held_out(tokenizer_dir: Path, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> HeldOut:
    folder = tmp_path_factory.mktemp("examples")
    lines = [{"question": f"Who walked to {n}?", "answers": WORDS, "fact": f"f{n}"} for n in range(ASKED)]
    (folder / "questions_heldout.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return HeldOut(packed / "val", folder, tokenizer_dir, None, most=100, seed=5)


def test_the_loss_of_answers_is_that_of_each_rows_targets_in_their_own_documents(decoder: Decoder, held_out: HeldOut) -> None:
    assert held_out.rows is not None
    units = SftConfig().aim().measure(decoder, held_out).units
    rows = ShardReader(held_out.rows).rows(range(len(units.unit)))
    for row, (tokens, document, loss) in enumerate(zip(rows["tokens"], rows["document"], rows["loss"], strict=True)):
        nats, count = 0.0, 0
        for number in np.unique(document):
            inside = np.flatnonzero(document == number)
            with torch.no_grad():
                log_p = decoder.logits({"tokens": torch.from_numpy(tokens[inside])[None]})[0].double().log_softmax(-1)
            counted = [place for place in range(1, len(inside)) if loss[inside[place]]]
            nats -= sum(float(log_p[place - 1, tokens[inside[place]]]) for place in counted)
            count += len(counted)
        assert units.weight[row] == count and units.value[row] == pytest.approx(nats, rel=1e-5)


def test_a_question_earns_the_mean_of_the_replies_that_its_own_seeds_give(
    decoder: Decoder, chat_format: ChatFormat, held_out: HeldOut
) -> None:
    aimed = GrpoConfig(rollouts=ROLLOUTS, global_batch=4).aim().measure(decoder, held_out)
    sampling = SamplingConfig(temperature=0.9, top_k=None, top_p=None, max_new_tokens=8)
    expected = []
    for place in range(ASKED):
        prompt = chat_format.encode_chat([{"role": "user", "content": f"Who walked to {place}?"}])
        seeds = [draw_seed(5, 0, place, number) for number in range(GROUP)]
        replies = sample_batch(decoder.decoding(), [prompt] * GROUP, seeds, sampling, chat_format.stop_ids)
        right = [is_right(chat_format.decode(reply.tokens), WORDS) for reply in replies]
        expected.append(2.0 * sum(right) / GROUP)
    assert len(set(expected)) > 1, "some are right, some are not"
    assert aimed.units.value.tolist() == pytest.approx(expected)
    assert aimed.besides == {"reward_answer": pytest.approx(np.mean(expected)), "unasked": 0.0}


def test_the_same_model_earns_the_same_twice_and_another_seed_draws_other_replies(decoder: Decoder, held_out: HeldOut) -> None:
    aim = GrpoConfig(rollouts=ROLLOUTS, global_batch=4).aim()
    first, again = (aim.measure(decoder, held_out).units.value.tolist() for _ in range(2))
    others = [aim.measure(decoder, held_out._replace(seed=seed)).units.value.tolist() for seed in range(3)]
    assert first == again and any(other != first for other in others)


def test_a_question_that_leaves_no_room_for_a_reply_is_counted_and_not_asked(decoder: Decoder, held_out: HeldOut, tmp_path: Path) -> None:
    aim = GrpoConfig(rollouts=ROLLOUTS, global_batch=4).aim()
    long = {"question": "Who " * 80, "answers": ["a"], "fact": "long"}
    known = (held_out.examples / "questions_heldout.jsonl").read_text()
    (tmp_path / "questions_heldout.jsonl").write_text(json.dumps(long) + "\n" + known)
    aimed = aim.measure(decoder, held_out._replace(examples=tmp_path))
    assert aimed.besides["unasked"] == 1.0 and aimed.units.unit.tolist() == list(range(1, ASKED + 1))
    (tmp_path / "questions_heldout.jsonl").write_text(json.dumps(long) + "\n")
    with pytest.raises(ValueError, match=r"leaves room for a reply of max_new_tokens=8 .* lower max_new_tokens"):
        aim.measure(decoder, held_out._replace(examples=tmp_path))


def test_a_reward_models_score_and_a_verifier_are_asked_where_the_step_asks_them(
    decoder: Decoder, held_out: HeldOut, tmp_path: Path
) -> None:
    judge = Decoder(decoder.config, decoder.vocab_size, seed=9).eval()
    save_model(judge, tmp_path)
    add_head(judge, "reward")
    with torch.no_grad():
        judge.get_submodule("heads.reward").get_parameter("bias").fill_(0.5)
    save_heads(of_heads(judge.state_dict())[1], tmp_path)
    rollouts = ROLLOUTS.model_copy(update={"verifier": RolloutConfig.model_validate({"verifier": {"kind": "sole"}}).verifier})
    config = PpoConfig(rollouts=rollouts, global_batch=4, reward_model="judge", reward_weight=3.0)
    aimed = config.aim().measure(decoder, held_out._replace(judge=tmp_path))
    assert aimed.besides["reward_model"] == pytest.approx(1.5), "its head reads 0.5 of everything"
    assert aimed.units.value.mean() == pytest.approx(aimed.besides["reward_answer"] + 1.5) and 0 <= aimed.besides["verified"] <= 1
    with pytest.raises(ValueError, match="none was given"):
        config.aim().measure(decoder, held_out)
