"""Aims of tuning steps on held-out answers and pairs, measured before a step and after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from model.networks.network import Network


class AnswerLossAim(AimBase):
    """The loss of held-out answers."""

    MEASURE: ClassVar[str] = "answer_loss"
    TITLE: ClassVar[str] = "loss of held-out answers"
    UNIT: ClassVar[str] = "nats a token"
    COUNTED: ClassVar[str] = "rows"

    kind: Literal["answer_loss"] = Field("answer_loss", description="aim: to find held-out answers likely")
    within_documents: bool = Field(True, description="restrict attention to the same conversation within a packed row")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of conversations."""
        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.intervals import Units
        from model.objectives.next_token import Sft

        rows, objective = held_out_rows(held_out, network), Sft(within_documents=self.within_documents)
        chosen, read = read_units(network, rows, held_out, objective.batch, _answer_losses, rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], read[:, 1]), {})


def _answer_losses(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return each row's summed nats and its number of targets."""
    import torch
    from torch.nn.functional import cross_entropy

    from model.objectives.chunked import of_each
    from model.objectives.protocol import IGNORED

    def nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        return cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="none")

    targets_BT = batch["targets"]
    nats_N = of_each(network, network(batch).flatten(0, 1), targets_BT.flatten(), nats)
    return torch.stack([nats_N.view_as(targets_BT).double().sum(1), (targets_BT != IGNORED).double().sum(1)], dim=1)


class LogRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["log_ratio"] = Field("log_ratio", description="aim: the chosen answer likelier than the rejected one")
    beta: float = Field(0.1, gt=0, description="factor of the difference, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.rows import pair_margins

        return pair_margins(network, held_out, lambda logp_R, _: self.beta * logp_R)


class OddsRatioAim(AimBase):
    """At how much better odds the chosen answer of a pair is."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "log odds ratio of held-out pairs"
    UNIT: ClassVar[str] = "nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["odds_ratio"] = Field("odds_ratio", description="aim: the chosen answer at better odds than the rejected one")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.rows import pair_margins
        from model.objectives.reference_free import log_odds

        return pair_margins(network, held_out, lambda logp_R, length_R: log_odds(logp_R / length_R))


class TokenRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier by token."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs, by token"
    UNIT: ClassVar[str] = "nats a token, times its factor"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["token_ratio"] = Field("token_ratio", description="aim: the chosen answer likelier by token than the rejected one")
    factor: float = Field(1.0, gt=0, description="factor of the difference, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.rows import pair_margins

        return pair_margins(network, held_out, lambda logp_R, length_R: self.factor * logp_R / length_R)


class RankingAim(AimBase):
    """The loss of held-out pairs under the scores of both answers."""

    MEASURE: ClassVar[str] = "ranking_loss"
    TITLE: ClassVar[str] = "Bradley-Terry loss of held-out pairs"
    UNIT: ClassVar[str] = "nats a pair"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["ranking"] = Field("ranking", description="aim: to score the chosen answer higher than the rejected one")

    def open(self, directory: Path) -> Network:
        """Return the model with its head; with one that reads 0 of everything if it has none, as before it learned to score."""
        import torch

        from model.networks.scalar_heads import add_head, has_head, load_with_head
        from model.objectives.reward_model import HEAD

        if has_head(directory, HEAD):
            network = load_with_head(directory, HEAD)
        else:
            network = super().open(directory)
            add_head(network, HEAD)
        return network.to("cuda") if torch.cuda.is_available() else network

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs; `accuracy`: the share whose chosen answer scores higher, equal scores counting half."""
        import numpy as np

        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.intervals import Units

        rows = held_out_rows(held_out, network)
        chosen, read = read_units(network, rows, held_out, _both_answers, _ranked, 2 * rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {"accuracy": float(read[:, 1].mean())})


def _both_answers(rows: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    from model.objectives.reward_model import RewardModel

    return RewardModel().batch(rows)


def _ranked(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of each pair, and whether it is ranked rightly: 1, 0, or a half for equal scores."""
    import torch
    from torch.nn.functional import logsigmoid

    from model.objectives.reward_model import read_scores

    chosen_B, rejected_B = read_scores(network, batch).double().chunk(2)
    margin_B = chosen_B - rejected_B
    return torch.stack([-logsigmoid(margin_B), (margin_B.sign() + 1) / 2], dim=1)


class SignedRewardAim(AimBase):
    """Aim of KTO: good answers become likelier, bad ones less likely."""

    MEASURE: ClassVar[str] = "signed_reward"
    TITLE: ClassVar[str] = "reward of held-out good answers, less that of bad ones"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "answers"

    kind: Literal["signed_reward"] = Field("signed_reward", description="aim: good answers likelier, bad ones less, each for itself")
    beta: float = Field(0.1, gt=0, description="factor of a log-probability, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of labelled answers, or on both answers of pairs."""
        import numpy as np

        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.intervals import Units
        from model.loading.joined_rows import labelled

        rows = held_out_rows(held_out, network)
        chosen, read = read_units(network, labelled(rows), held_out, _answers, self._signed, rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {})

    def _signed(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        import torch

        from model.objectives.answers import read_answers

        reward_B = self.beta * read_answers(network, batch).logp_R.double()
        return torch.where(batch["desirable"], reward_B, -reward_B)[:, None]


def _answers(rows: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    from model.objectives.answers import answer_batch

    return {**answer_batch([rows["tokens"]], [rows["loss"]]), "desirable": rows["desirable"]}
