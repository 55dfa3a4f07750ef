"""Measure aims on held-out answers and pairs, a few packed rows at a time, before a step and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from data.shards.reader import ShardReader
from model.aims.config import AnswerLossAim, LogRatioAim, OddsRatioAim, RankingAim, SignedRewardAim, TokenRatioAim
from model.aims.protocol import Aimed, HeldOut
from model.evaluation.intervals import Units
from model.evaluation.loss import LOGITS, choose_rows
from model.inference.open_model import open_model
from model.loading.joined_rows import RowReader, labelled
from model.networks.network import Network
from model.networks.scalar_heads import add_head, has_head, load_with_head
from model.objectives.answers import answer_batch, read_answers, stack_pairs
from model.objectives.chunked import of_each
from model.objectives.next_token import Sft
from model.objectives.protocol import IGNORED
from model.objectives.reference_free import log_odds
from model.objectives.reward_model import HEAD, RewardModel, read_scores

Batch = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]
Read = Callable[[Network, Mapping[str, Tensor]], Tensor]
AT_ONCE = 16  # rows; fewer where their logits would not fit into LOGITS


def held_out_rows(held_out: HeldOut, network: Network) -> ShardReader:
    """Open the packed rows. Raise ValueError for none, and ShardError for those of another vocabulary."""
    if held_out.rows is None:
        raise ValueError("rows: this aim is measured on held-out rows, and none were given")
    reader = ShardReader(held_out.rows)
    if not len(reader):
        raise ValueError(f"{held_out.rows} has no rows to measure: nothing was held out; hold more out, or leave the step's gate away")
    if reader.metadata.vocab_size != network.vocab_size:
        raise ValueError(
            f"{held_out.rows} holds tokens of a vocabulary of {reader.metadata.vocab_size}, and the model has {network.vocab_size}; give "
            "it rows of its own tokenizer"
        )
    return reader


def read_units(
    network: Network, rows: RowReader, held_out: HeldOut, batch: Batch, read: Read, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the numbers of the measured units, and what `read` says of each: fp64 [units, columns].

    `batch`: turns rows into what `read` takes, whose answer is [rows, columns]. `width`: tokens of a row, for the size of a batch.
    """
    chosen = choose_rows(len(rows), held_out.most, held_out.seed)
    size, device = max(1, min(AT_ONCE, LOGITS // (width * network.vocab_size))), next(network.parameters()).device
    found = []
    with torch.no_grad():
        for start in range(0, len(chosen), size):
            arrays = batch(rows.rows(chosen[start : start + size]))
            tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
            found.append(read(network, tensors).double().cpu().numpy())
    return chosen, np.concatenate(found)


Score = Callable[[Tensor, Tensor], Tensor]  # (log-probability, length) of answers -> what is compared of them


def pair_margins(network: Network, held_out: HeldOut, score: Score) -> Aimed:
    """Measure by how much more the chosen answer of each pair has of `score`; `preferred`: of how many pairs it has more."""

    def read(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        scores_R = score(read_answers(network, batch).logp_R.double(), batch["counts"].sum(dim=1).clamp(min=1))
        chosen_B, rejected_B = scores_R.chunk(2)
        return torch.stack([chosen_B - rejected_B], dim=1)

    rows = held_out_rows(held_out, network)
    chosen, found = read_units(network, rows, held_out, stack_pairs, read, 2 * rows.metadata.sequence_length)
    margin = found[:, 0]
    return Aimed(Units(chosen, margin, np.ones_like(margin)), {"preferred": float((margin > 0).mean())})


def measure_answer_loss(aim: AnswerLossAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of conversations."""
    rows, objective = held_out_rows(held_out, network), Sft(within_documents=aim.within_documents)
    chosen, read = read_units(network, rows, held_out, objective.batch, _answer_losses, rows.metadata.sequence_length)
    return Aimed(Units(chosen, read[:, 0], read[:, 1]), {})


def _answer_losses(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return each row's summed nats and its number of targets."""

    def nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        return cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="none")

    targets_BT = batch["targets"]
    nats_N = of_each(network, network(batch).flatten(0, 1), targets_BT.flatten(), nats)
    return torch.stack([nats_N.view_as(targets_BT).double().sum(1), (targets_BT != IGNORED).double().sum(1)], dim=1)


def measure_log_ratio(aim: LogRatioAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of pairs."""
    return pair_margins(network, held_out, lambda logp_R, _: aim.beta * logp_R)


def measure_odds_ratio(aim: OddsRatioAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of pairs."""
    return pair_margins(network, held_out, lambda logp_R, length_R: log_odds(logp_R / length_R))


def measure_token_ratio(aim: TokenRatioAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of pairs."""
    return pair_margins(network, held_out, lambda logp_R, length_R: aim.factor * logp_R / length_R)


def open_with_head(directory: Path) -> Network:
    """Return the model with its head; with one that reads 0 of everything if it has none, as before it learned to score."""
    if has_head(directory, HEAD):
        network = load_with_head(directory, HEAD)
    else:
        network = open_model(directory)
        add_head(network, HEAD)
    return network.to("cuda") if torch.cuda.is_available() else network


def measure_ranking(aim: RankingAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of pairs; `accuracy`: the share whose chosen answer scores higher, equal scores counting half."""
    rows = held_out_rows(held_out, network)
    chosen, read = read_units(network, rows, held_out, _both_answers, _ranked, 2 * rows.metadata.sequence_length)
    return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {"accuracy": float(read[:, 1].mean())})


def _both_answers(rows: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    return RewardModel().batch(rows)


def _ranked(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of each pair, and whether it is ranked rightly: 1, 0, or a half for equal scores."""
    chosen_B, rejected_B = read_scores(network, batch).double().chunk(2)
    margin_B = chosen_B - rejected_B
    return torch.stack([-logsigmoid(margin_B), (margin_B.sign() + 1) / 2], dim=1)


def measure_signed_reward(aim: SignedRewardAim, network: Network, held_out: HeldOut) -> Aimed:
    """Measure a model on rows of labelled answers, or on both answers of pairs."""

    def signed(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        reward_B = aim.beta * read_answers(network, batch).logp_R.double()
        return torch.where(batch["desirable"], reward_B, -reward_B)[:, None]

    rows = held_out_rows(held_out, network)
    chosen, read = read_units(network, labelled(rows), held_out, _answers, signed, rows.metadata.sequence_length)
    return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {})


def _answers(rows: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {**answer_batch([rows["tokens"]], [rows["loss"]]), "desirable": rows["desirable"]}
