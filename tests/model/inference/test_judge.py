"""The best of several replies is the one that a reward model scores highest, in evaluation and in a conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model.evaluation.config import ThinkingConfig
from model.evaluation.thinking import attempt, measure_thinking
from model.inference.chat import ChatModel, Judge, best_of
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.networks.base import ModelError
from model.networks.network import Network
from model.networks.scalar_heads import add_head, of_heads, save_heads
from model.rewards.answers import Question
from model.rewards.kinds import is_solved
from model.seeds import draw_seed
from tests.model.conftest import random_decoder

QUESTIONS: list[Question] = [{"question": f"Who {verb}?", "answers": ["a", "e"], "fact": verb} for verb in ("walked", "sat")]


@pytest.fixture(scope="module")
def judge_dir(chat_format: ChatFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model with random weights."""
    from model.networks.directory import save_model

    folder = tmp_path_factory.mktemp("judge")
    network = random_decoder(chat_format.tokenizer.get_vocab_size(), seed=5)
    save_model(network, folder)
    add_head(network, "reward")
    torch.nn.init.normal_(network.get_parameter("heads.reward.weight"), generator=torch.Generator().manual_seed(5))
    save_heads(of_heads(dict(network.named_parameters()))[1], folder)
    return folder


def test_a_text_scores_the_same_whatever_is_scored_beside_it(judge_dir: Path, chat_format: ChatFormat) -> None:
    judge = Judge.open(judge_dir, chat_format.digest)
    texts = [[5, 9, 11], [7, 8, 9, 10, 11, 12], [3]]
    together = judge.scores(texts)
    assert together == pytest.approx([judge.scores([text])[0] for text in texts], abs=1e-4)
    assert len({round(score, 4) for score in together}) == 3 and best_of([1.0, 3.0, 3.0]) == 1


def test_a_model_without_the_head_is_no_judge(model_dir: Path, chat_format: ChatFormat) -> None:
    with pytest.raises(ModelError, match="has no head called 'reward'"):
        Judge.open(model_dir, chat_format.digest)


def test_the_reward_model_s_favourite_is_what_counts_beside_the_majority(
    decoder: Network, chat_format: ChatFormat, judge_dir: Path, tmp_path: Path
) -> None:
    config = ThinkingConfig(questions="seen", budgets=(6,), best=(3,), reward_model="reward", answer_tokens=8, temperature=1.0)
    (tmp_path / "questions_seen.jsonl").write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    judge = Judge.open(judge_dir, chat_format.digest)
    metrics = measure_thinking(decoder.decoding(), chat_format, tmp_path, config, judge)
    assert set(metrics) == set(config.metrics) and "thinking.best_3_tokens" in metrics
    tries = [attempt(decoder.decoding(), chat_format, QUESTIONS, 6, config, number) for number in range(3)]
    right = []
    for place, question in enumerate(QUESTIONS):
        prompt = chat_format.encode_chat([{"role": "user", "content": question["question"]}])
        scores = [judge.scores([[*prompt, *attempts[place].ids]])[0] for attempts in tries]
        right.append(is_solved(tries[best_of(scores)][place].text, question))
    assert metrics["thinking.best_3"] == pytest.approx(sum(right) / 2)
    with pytest.raises(ValueError, match=r"thinking.best=\[3\] needs a reward model, and none was given"):
        measure_thinking(decoder.decoding(), chat_format, tmp_path, config)


def test_a_conversation_shows_the_reply_that_scores_highest_and_remembers_it(
    decoder: Network, chat_format: ChatFormat, judge_dir: Path
) -> None:
    session = ChatModel(decoder.decoding(), chat_format)
    session.choose_by(judge_dir, 4)
    sampling = SamplingConfig(temperature=1.0, max_new_tokens=8)
    said = "".join(session.say("Who?", sampling, 3))
    assert [message["content"] for message in session.history] == ["Who?", said]
    prompt = chat_format.encode_chat([{"role": "user", "content": "Who?"}])
    seeds = [draw_seed(3, number) for number in range(4)]
    attempts = sample_batch(decoder.decoding(), [prompt] * 4, seeds, sampling, chat_format.stop_ids)
    scores = Judge.open(judge_dir, chat_format.digest).scores([[*prompt, *one.tokens] for one in attempts])
    assert said == chat_format.decode(attempts[best_of(scores)].tokens)
