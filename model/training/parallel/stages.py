"""A network divided into stages for DeepSpeed's pipeline: embedding, consecutive blocks, final norm and output head.

The stages use the network's own modules (`Network.stage_parts`), so in sequence they compute what it computes, and each parameter keeps its
name and initial value. Stages send each other x_BTD and, where rows hold several documents, documents_BT (int64): each builds its own mask
and positions from them, which is cheaper than sending a T x T mask. Tied embeddings exist on the first and the last stage; DeepSpeed sums
their gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Self, cast

from deepspeed.pipe import LayerSpec, TiedLayerSpec
from torch import Tensor, nn

from model.networks.network import Network
from model.objectives.protocol import FromLogits, mean_loss, unit_names
from model.training.precision import autocast

Carried = Tensor | tuple[Tensor, ...]
TIED = "tokens"


def stage_layers(network: Network, stages: int, products: str) -> list[LayerSpec]:
    """Return the layers of the pipeline: the embedding, one `Blocks` per stage, the final norm and output head."""
    output: list[LayerSpec]
    if network.stage_parts().head is None:
        embedding: LayerSpec = TiedLayerSpec(TIED, Embedding, network, products, tied_weight_attr="table.weight")
        tied_head = TiedLayerSpec(TIED, Embedding, network, products, forward_fn=Embedding.read, tied_weight_attr="table.weight")
        output = [LayerSpec(Norm, network, products), tied_head]
    else:
        embedding = LayerSpec(Embedding, network, products)
        output = [LayerSpec(Norm, network, products), LayerSpec(Head, network, products)]
    return [embedding, *(LayerSpec(Blocks, network, products, *bounds) for bounds in block_ranges(network.config.layers, stages)), *output]


def block_ranges(layers: int, stages: int) -> list[tuple[int, int]]:
    """Return first and last + 1 block of each stage. Earlier stages take the remainder, as the last one also computes logits."""
    each, more = divmod(layers, stages)
    ends = [0]
    for stage in range(stages):
        ends.append(ends[-1] + each + (stage < more))
    return list(pairwise(ends))


class _Layer(nn.Module):
    """A part of the network with its precision. It owns only the modules that it computes with."""

    def __init__(self, network: Network, products: str) -> None:
        super().__init__()
        self.products = products
        # Inside a tuple the network is not a submodule, as this layer must own only some of its parameters.
        self._network, self._parts = (network,), network.stage_parts()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the whole network: what it computes outside of this layer's modules, such as dropout, follows it too."""
        self._network[0].train(mode)
        return super().train(mode)

    def read(self, carried: Carried) -> Tensor:
        """x_BTD -> logits_BTV, with the embedding's or the head's matrix, whichever this layer owns."""
        x_BTD, _ = _unpack(carried)
        with autocast(x_BTD.device.type, self.products):
            return self._network[0].read(x_BTD)


class Embedding(_Layer):
    """tokens_BT -> x_BTD and, tied, x_BTD -> logits_BTV."""

    def __init__(self, network: Network, products: str) -> None:
        super().__init__(network, products)
        self.table = self._parts.table

    def forward(self, carried: Carried) -> Carried:
        tokens_BT, columns = _unpack(carried)
        with autocast(tokens_BT.device.type, self.products):
            return _pack(self._parts.embed({"tokens": tokens_BT, **columns}), columns)


class Blocks(_Layer):
    """x_BTD -> x_BTD through the blocks of one stage."""

    def __init__(self, network: Network, products: str, first: int, end: int) -> None:
        super().__init__(network, products)
        self.blocks = nn.ModuleList(list(network.blocks())[first:end])

    def forward(self, carried: Carried) -> Carried:
        x_BTD, columns = _unpack(carried)
        with autocast(x_BTD.device.type, self.products):
            return _pack(self._parts.run(self.blocks, x_BTD, columns), columns)


class Norm(_Layer):
    """The final norm."""

    def __init__(self, network: Network, products: str) -> None:
        super().__init__(network, products)
        self.norm = self._parts.norm

    def forward(self, carried: Carried) -> Carried:
        x_BTD, _ = _unpack(carried)
        with autocast(x_BTD.device.type, self.products):
            return cast(Tensor, self.norm(x_BTD))


class Head(_Layer):
    """x_BTD -> logits_BTV by an untied matrix."""

    def __init__(self, network: Network, products: str) -> None:
        super().__init__(network, products)
        self.head = self._parts.head

    def forward(self, carried: Carried) -> Tensor:
        return self.read(carried)


def _unpack(carried: Carried) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a stage's input: tokens_BT or x_BTD, and the other columns."""
    first, *documents = carried if isinstance(carried, tuple) else (carried,)
    return first, {"documents": documents[0]} if documents else {}


def _pack(x_BTD: Tensor, columns: Mapping[str, Tensor]) -> Carried:
    return (x_BTD, *columns.values()) if columns else x_BTD


def first_input(batch: Mapping[str, Tensor]) -> Carried:
    """The input of the first stage."""
    return (batch["tokens"], batch["documents"]) if "documents" in batch else batch["tokens"]


class StageLoss:
    """The loss function of the last stage; it collects the metrics of each micro-batch, in order, until `take_metrics`."""

    def __init__(self, objective: FromLogits) -> None:
        self.objective = objective
        self.scale = 1.0
        self._metrics: list[Tensor] = []

    def __call__(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        sums = self.objective.sums_of(logits_BTV, targets_BT)
        self._metrics.append(sums.detach())
        return mean_loss(self.objective, sums, dict.fromkeys(unit_names(self.objective), 1.0)) * self.scale

    def take_metrics(self) -> list[Tensor]:
        """Return the metrics collected since the last call."""
        metrics, self._metrics = self._metrics, []
        return metrics
