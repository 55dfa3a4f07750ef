"""The aim of reinforcement learning: replies to held-out questions that earn more.

Replies are sampled as the step samples them, to questions that it did not ask, with seeds that follow from the recipe's and the question's
place alone, so both models draw with the same random numbers. A unit is a question: the mean reward of the replies to it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model.aims.config import SampledRewardAim
from model.aims.held_out import AT_ONCE
from model.aims.protocol import Aimed, HeldOut
from model.evaluation.intervals import Units
from model.evaluation.loss import choose_rows
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import Completion, sample_batch
from model.networks.network import Network
from model.networks.scalar_heads import load_with_head
from model.objectives.protocol import JUDGE
from model.objectives.reward_model import read_scores, scored_batch
from model.rewards.answers import messages_of, read_questions
from model.rewards.kinds import Reply, RewardBase
from model.rollouts.cycle import JUDGED, Prompt
from model.seeds import draw_seed

CYCLE = 0  # of the seeds: they are those of the first cycle of a step, whose questions are others


def measure_sampled_reward(aim: SampledRewardAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on questions. `reward_<name>`: the mean of each reward; `verified`: that of the verifier; `unasked`: questions
    that leave no room for a reply. Raise ValueError if that is all of them.
    """
    chat_format = ChatFormat(held_out.tokenizer)
    prompts, unasked = _prompts(aim, network, held_out, chat_format)
    config = SamplingConfig(temperature=aim.temperature, top_k=None, top_p=None, max_new_tokens=aim.max_new_tokens)
    asked = [(place, number) for place in prompts for number in range(aim.group)]
    completions = sample_batch(
        network.decoding(),
        [prompts[place].tokens for place, _ in asked],
        [draw_seed(held_out.seed, CYCLE, place, number) for place, number in asked],
        config,
        chat_format.stop_ids,
    )
    of_replies = [prompts[place] for place, _ in asked]
    replies = [
        Reply(prompt.question, chat_format.decode(completion.tokens), completion.ended, len(completion.tokens))
        for prompt, completion in zip(of_replies, completions, strict=True)
    ]
    earned = {reward.label: reward.weight * _scored(reward, replies) for reward in aim.rewards}
    if aim.judged is not None:
        earned[JUDGED] = aim.judged * _judged(held_out, of_replies, completions)
    besides = {f"reward_{name}": float(values.mean()) for name, values in earned.items()}
    if aim.verifier is not None:
        besides["verified"] = float(_scored(aim.verifier, replies).mean())
    reward = np.sum(list(earned.values()), axis=0).reshape(len(prompts), aim.group).mean(axis=1)
    return Aimed(Units(np.array(list(prompts)), reward, np.ones(len(prompts))), {**besides, "unasked": float(unasked)})


def _prompts(aim: SampledRewardAim, network: Network, held_out: HeldOut, chat_format: ChatFormat) -> tuple[dict[int, Prompt], int]:
    """Return the questions to ask by their place among all, and how many of the chosen ones leave no room for a reply."""
    files = [held_out.examples / f"{name}.jsonl" for name in aim.questions]
    listed = [question for file in files for question in read_questions(file, choices=True)]
    chosen = choose_rows(len(listed), held_out.most, held_out.seed).tolist()
    prompts = {place: Prompt(listed[place], chat_format.encode_chat(messages_of(listed[place]))) for place in chosen}
    room = network.config.context - aim.max_new_tokens
    fitting = {place: prompt for place, prompt in prompts.items() if len(prompt.tokens) <= room}
    if not fitting:
        raise ValueError(
            f"none of the {len(chosen)} questions of {' and '.join(aim.questions)} leaves room for a reply of "
            f"max_new_tokens={aim.max_new_tokens} in the context of {network.config.context}; lower max_new_tokens"
        )
    return fitting, len(chosen) - len(fitting)


def _scored(reward: RewardBase, replies: list[Reply]) -> NDArray[np.float64]:
    scorer = reward.build()
    return np.array([scorer.score(reply) for reply in replies], dtype=np.float64)


def _judged(held_out: HeldOut, prompts: list[Prompt], completions: list[Completion]) -> NDArray[np.float64]:
    """Return the reward model's score of each reply. Raise ValueError without a reward model."""
    if held_out.judge is None:
        raise ValueError("judge: replies are scored by a reward model, and none was given")
    judge = load_with_head(held_out.judge, JUDGE)
    judge = judge.to("cuda") if torch.cuda.is_available() else judge
    device = next(judge.parameters()).device
    found: list[NDArray[np.float64]] = []
    for start in range(0, len(prompts), AT_ONCE):
        pairs = list(zip(prompts[start : start + AT_ONCE], completions[start : start + AT_ONCE], strict=True))
        width = max(len(prompt.tokens) + len(completion.tokens) for prompt, completion in pairs)
        tokens, flags = np.zeros((len(pairs), width), dtype=np.int64), np.zeros((len(pairs), width), dtype=np.bool_)
        for row, (prompt, completion) in enumerate(pairs):
            end = len(prompt.tokens) + len(completion.tokens)
            tokens[row, :end] = [*prompt.tokens, *completion.tokens]
            flags[row, len(prompt.tokens) : end] = True
        batch = {name: torch.from_numpy(array).to(device) for name, array in scored_batch(tokens, flags).items()}
        with torch.no_grad():
            found.append(read_scores(judge, batch).double().cpu().numpy())
    return np.concatenate(found)
