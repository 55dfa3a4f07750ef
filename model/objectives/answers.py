"""Log-likelihoods of answers, and batches of them, for objectives over answers.

Log-probabilities are summed over an answer's tokens, its `<|end|>` included, not over the prompt; nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.objectives.chunked import of_each, tokenwise_kl
from model.objectives.protocol import Rows, as_int64

SIDES = ("chosen", "rejected")


class Read(NamedTuple):
    """A network's reading of answers: their log-probabilities, fp32 [rows], and the hidden vectors before each counted target."""

    logp_R: Tensor
    hidden_ND: Tensor


def stack_pairs(rows: Rows) -> dict[str, NDArray[Any]]:
    """Return the chosen answers, then the rejected ones, as one batch of twice as many rows."""
    return answer_batch([rows[side] for side in SIDES], [rows[f"{side}_loss"] for side in SIDES])


def answer_batch(tokens: Sequence[NDArray[Any]], flags: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return rows [B, C + 1] with flags of the answers' tokens, one below the other, cut off after the longest answer.

    `places`: the counted targets in the flattened rows, at least one; found here, since the device would have to be waited for.
    """
    joined, counts = as_int64(np.concatenate(tokens)), np.concatenate(flags)[:, 1:]
    length = int(np.flatnonzero(counts.any(axis=0)).max(initial=0)) + 1
    counts = counts[:, :length]
    places = np.flatnonzero(counts)
    return {
        "tokens": joined[:, :-1][:, :length],
        "targets": joined[:, 1:][:, :length],
        "counts": counts,
        "places": places if len(places) else np.zeros(1, dtype=np.int64),
    }


def read_answers(network: Network, batch: Mapping[str, Tensor]) -> Read:
    """Return how likely a network finds each row's answer."""
    return read_hidden(network, network({"tokens": batch["tokens"]}), batch)


def read_hidden(network: Network, hidden_RTD: Tensor, batch: Mapping[str, Tensor]) -> Read:
    """As `read_answers`, from what the network has made of the tokens."""
    counts_RT, places_N = batch["counts"], batch["places"]
    hidden_ND = hidden_RTD.flatten(0, 1)[places_N]
    nats_N = of_each(network, hidden_ND, batch["targets"].flatten()[places_N], _nats)
    spread = torch.zeros(counts_RT.numel(), dtype=nats_N.dtype, device=nats_N.device).index_copy(0, places_N, nats_N)
    return Read(-(spread.view_as(counts_RT) * counts_RT).sum(dim=1), hidden_ND)


def answer_kl(policy: Network, read: Read, reference: Network, frozen: Read, batch: Mapping[str, Tensor]) -> Tensor:
    """Return, summed over the answers' tokens, the divergence of the policy's next token from the reference's; nats, no gradient."""
    kl_N = tokenwise_kl(policy, read.hidden_ND.detach(), reference, frozen.hidden_ND)
    return (kl_N * batch["counts"].flatten()[batch["places"]]).sum()


def answer_lengths(rows: Rows, side: str) -> float:
    """Return how many tokens the answers of a side have."""
    return float(np.count_nonzero(rows[f"{side}_loss"][:, 1:]))


def _nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    return functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")
