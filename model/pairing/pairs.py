"""Make preference pairs with a model: score known wrong answers and its own mistakes, and reject the likeliest one.

For each question the candidates are the wrong answers that the examples name, of the same kind as the right one, and the wrong ones among
replies that the model samples itself (as in self-play, Chen et al. 2024), except those cut off at `max_new_tokens`. A pair whose wrong
answer is far less likely than the right one teaches nothing, because the loss is flat there; so the share `kept` is learned from whose
margin is smallest. Likelihoods are compared by token (as in SimPO, Meng et al. 2024), since of answers of unequal length the shorter one
would nearly always be likelier. Pairs for validation are all kept.

Guarantee: questions and the random numbers of each reply follow from the seed alone; the same model, examples and config give the same
bytes for the same number of threads. Cost: a pass over each question with each of its answers, and sampling.

Files: preference/train, preference/val (shard directories); pairs_train.jsonl, pairs_val.jsonl (the same for people, hardest first)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from model.hardware.transfers import torch_threads
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.inference.open_model import open_model
from model.networks.directory import require_tokenizer
from model.networks.network import Network
from model.objectives.protocol import IGNORED
from model.pairing.config import OwnPairs
from model.pairing.rows import SPLITS, PairQuestion, PairTokens, most_questions, read_pair_questions, write_pair_rows
from model.seeds import draw_seed

TOKENS_AT_ONCE = 8192


class Continuation(NamedTuple):
    """A prompt and the tokens that may follow it."""

    prompt: Sequence[int]
    tokens: Sequence[int]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.tokens)


@torch.no_grad()
def log_probabilities(model: Network, continuations: Sequence[Continuation]) -> list[float]:
    """Return the log-probability of each continuation's tokens after its prompt, in nats, in order.

    Sequences of like length are computed together; they are padded at the end, which a causal network does not see.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(continuations)), key=lambda number: (continuations[number].length, number))
    found = [0.0] * len(continuations)
    while order:
        longest = continuations[order[-1]].length
        numbers = order[-max(1, TOKENS_AT_ONCE // longest) :]
        del order[-len(numbers) :]
        tokens_BT = torch.zeros((len(numbers), longest), dtype=torch.int64)
        targets_BT = torch.full((len(numbers), longest), IGNORED)
        for row, number in enumerate(numbers):
            prompt, tokens = continuations[number]
            tokens_BT[row, : len(prompt) + len(tokens)] = torch.tensor([*prompt, *tokens])
            targets_BT[row, len(prompt) : len(prompt) + len(tokens)] = torch.tensor(list(tokens))
        logits_BTV = model.logits({"tokens": tokens_BT[:, :-1].to(device)}).float().cpu()
        nats_N = functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT[:, 1:].flatten(), ignore_index=IGNORED, reduction="none")
        for number, nats in zip(numbers, nats_N.view(len(numbers), -1).double().sum(dim=1).tolist(), strict=True):
            found[number] = -nats
    return found


@dataclass(frozen=True)
class Pair:
    """A question with its right answer and the likeliest wrong one; log-probabilities are means over an answer's tokens, in nats."""

    question: PairQuestion
    rejected: str
    rejected_tokens: tuple[int, ...]
    own: bool  # whether the model said it
    chosen_logp: float
    rejected_logp: float

    @property
    def margin(self) -> float:
        """How much likelier the right answer is, in nats a token."""
        return self.chosen_logp - self.rejected_logp

    @property
    def tokens(self) -> PairTokens:
        """The tokens of both answers and of what precedes them."""
        question = self.question
        return PairTokens(question.prompt, question.answers[question.chosen], self.rejected_tokens)


def make_pairs(model: Path, tokenizer: Path, examples: Path, output: Path, config: OwnPairs, *, threads: int) -> dict[str, float]:
    """Write the pairs for `examples/preferences_{train,val}.jsonl` into `output`.

    Return metrics with the split as prefix: pairs; of them own (the share that the model said itself), accuracy (the share whose right
    answer is likelier), margin, chosen_logp, rejected_logp (means, nats a token); left_out (questions that do not fit or have no wrong
    answer), unended (sampled replies that were cut off).
    Raise ValueError if no pair for training is left.
    """
    chat_format, network = ChatFormat(tokenizer), open_model(model)
    require_tokenizer(model, chat_format.digest)
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    with torch_threads(threads):
        for split in SPLITS:
            most = most_questions(config.questions, split)
            file = examples / f"preferences_{split}.jsonl"
            questions, left_out = read_pair_questions(file, chat_format, network.config.context, most=most, seed=config.seed)
            said, unended = own_mistakes(network, chat_format, questions, config)
            pairs = sorted(likeliest_mistakes(network, questions, said), key=lambda pair: (pair.margin, pair.question.line))
            if split == "train":
                pairs = pairs[: max(1, round(len(pairs) * config.kept))]
            counts = {"left_out": float(left_out), "unended": float(unended)}
            metrics |= {f"{split}_{name}": value for name, value in (_summary(pairs) | counts).items()}
            write_pair_rows(output / "preference" / split, [pair.tokens for pair in pairs], network, chat_format.digest)
            _write_lines(output / f"pairs_{split}.jsonl", pairs)
    if not metrics["train_pairs"]:
        raise ValueError(f"{examples} has no question with a right and a wrong answer that fit into {network.config.context} tokens")
    return metrics


def likeliest_mistakes(model: Network, questions: Sequence[PairQuestion], said: Sequence[Mapping[str, tuple[int, ...]]]) -> list[Pair]:
    """Return a pair for each question, in order; of equally likely wrong answers the first in the examples' order is rejected.

    `said`: for each question the model's own wrong replies.
    """
    candidates: list[tuple[int, str, tuple[int, ...], bool]] = []
    for number, question in enumerate(questions):
        candidates += [(number, text, tokens, False) for text, tokens in question.answers.items()]
        candidates += [(number, text, tokens, True) for text, tokens in said[number].items()]
    scored = log_probabilities(model, [Continuation(questions[number].prompt, tokens) for number, _, tokens, _ in candidates])
    chosen: dict[int, float] = {}
    best: dict[int, Pair] = {}
    for (number, text, tokens, own), nats in zip(candidates, scored, strict=True):
        question, logp = questions[number], nats / max(1, len(tokens))
        if not own and text == question.chosen:
            chosen[number] = logp
        elif number not in best or logp > best[number].rejected_logp:
            best[number] = Pair(question, text, tokens, own, chosen[number], logp)
    return [best[number] for number in range(len(questions))]


def own_mistakes(
    model: Network, chat_format: ChatFormat, questions: Sequence[PairQuestion], config: OwnPairs
) -> tuple[list[dict[str, tuple[int, ...]]], int]:
    """Return for each question the wrong ones among the model's own replies, which the examples don't name, with their tokens.

    The second value is the number of replies that were cut off: what they would have said is not known, so they are no mistakes.
    """
    room = model.config.context
    fitting = [number for number, question in enumerate(questions) if len(question.prompt) < room]
    asked = [(number, sample) for number in fitting for sample in range(config.samples)]
    seeds = [draw_seed(config.seed, questions[number].line, sample) for number, sample in asked]
    sampling = SamplingConfig(temperature=config.temperature, top_k=None, top_p=None, max_new_tokens=config.max_new_tokens)
    prompts = [questions[number].prompt for number, _ in asked]
    replies = sample_batch(model.decoding(), prompts, seeds, sampling, chat_format.stop_ids) if asked else []
    found: list[dict[str, tuple[int, ...]]] = [{} for _ in questions]
    for (number, _), reply in zip(asked, replies, strict=True):
        text, question = chat_format.decode(reply.tokens), questions[number]
        if reply.ended and text not in question.answers and question.is_mistake(text):
            found[number].setdefault(text, tuple(reply.tokens))
    return found, sum(not reply.ended for reply in replies)


def _summary(pairs: Sequence[Pair]) -> dict[str, float]:
    if not pairs:
        return {"pairs": 0.0}
    values = {
        "own": [float(pair.own) for pair in pairs],
        "accuracy": [float(pair.margin > 0) for pair in pairs],
        "margin": [pair.margin for pair in pairs],
        "chosen_logp": [pair.chosen_logp for pair in pairs],
        "rejected_logp": [pair.rejected_logp for pair in pairs],
    }
    return {"pairs": float(len(pairs)), **{name: float(np.mean(numbers)) for name, numbers in values.items()}}


def _write_lines(path: Path, pairs: Sequence[Pair]) -> None:
    lines = []
    for pair in pairs:
        made = {"rejected": pair.rejected, "own": pair.own, "chosen_logp": pair.chosen_logp, "rejected_logp": pair.rejected_logp}
        kept = {name: value for name, value in pair.question.entry.items() if name in ("messages", "chosen", "books")}
        lines.append(json.dumps({**kept, **made}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
