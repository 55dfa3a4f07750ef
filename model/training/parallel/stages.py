"""A decoder divided into stages for DeepSpeed's pipeline: embedding, consecutive blocks, final norm and output head.

The stages use the decoder's own modules, so in sequence they compute what it computes, and each parameter keeps its name and initial value.
Stages send each other x_BTD and, where rows hold several documents, documents_BT (int64): each builds its own mask and positions from
them, which is cheaper than sending a T x T mask. Tied embeddings exist on the first and the last stage; DeepSpeed sums their gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import torch
from deepspeed.pipe import LayerSpec, TiedLayerSpec
from torch import Tensor, nn

from model.layers.attention_plan import AttentionInputs
from model.networks.decoder import Decoder, soft_cap
from model.objectives.next_token import NextToken

Carried = Tensor | tuple[Tensor, ...]
TIED = "tokens"


def stage_layers(decoder: Decoder, stages: int, precision: str) -> list[LayerSpec]:
    """Return the layers of the pipeline: the embedding, one `Blocks` per stage, the final norm and output head."""
    output: list[LayerSpec]
    if decoder.lm_head is None:
        embedding: LayerSpec = TiedLayerSpec(TIED, Embedding, decoder, precision, tied_weight_attr="table.weight")
        tied_head = TiedLayerSpec(TIED, Embedding, decoder, precision, forward_fn=Embedding.read, tied_weight_attr="table.weight")
        output = [LayerSpec(Norm, decoder, precision), tied_head]
    else:
        embedding = LayerSpec(Embedding, decoder, precision)
        output = [LayerSpec(Norm, decoder, precision), LayerSpec(Head, decoder, precision)]
    return [embedding, *(LayerSpec(Blocks, decoder, precision, *bounds) for bounds in block_ranges(decoder.config.layers, stages)), *output]


def block_ranges(layers: int, stages: int) -> list[tuple[int, int]]:
    """Return first and last + 1 block of each stage. Earlier stages take the remainder, as the last one also computes logits."""
    each, more = divmod(layers, stages)
    ends = [0]
    for stage in range(stages):
        ends.append(ends[-1] + each + (stage < more))
    return list(pairwise(ends))


class _Layer(nn.Module):
    """A part of the decoder with its precision. It owns only the modules that it computes with."""

    def __init__(self, decoder: Decoder, precision: str) -> None:
        super().__init__()
        self.precision = precision
        # Inside a tuple the trunk is not a submodule, as this layer must own only some of its parameters.
        self._trunk = (decoder.model,)

    def autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def view(self, x_BTD: Tensor, documents: list[Tensor]) -> AttentionInputs:
        """Whole texts, or the documents of packed rows."""
        return AttentionInputs(self._trunk[0].config, x_BTD, 0, None, documents[0] if documents else None, training=self.training)


class Embedding(_Layer):
    """tokens_BT -> x_BTD and, tied, x_BTD -> logits_BTV."""

    def __init__(self, decoder: Decoder, precision: str) -> None:
        super().__init__(decoder, precision)
        self.table = decoder.model.embed_tokens

    def forward(self, carried: Carried) -> Carried:
        tokens_BT, *documents = carried if isinstance(carried, tuple) else (carried,)
        with self.autocast(tokens_BT.device):
            x_BTD = self.table(tokens_BT)
            return _carry(self._trunk[0].embed(x_BTD, self.view(x_BTD, documents)), documents)

    def read(self, carried: Carried) -> Tensor:
        x_BTD, *_ = carried if isinstance(carried, tuple) else (carried,)
        with self.autocast(x_BTD.device):
            return soft_cap(nn.functional.linear(x_BTD, self.table.weight), self._trunk[0].config.logit_soft_cap)


class Blocks(_Layer):
    """x_BTD -> x_BTD through the blocks of one stage."""

    def __init__(self, decoder: Decoder, precision: str, first: int, end: int) -> None:
        super().__init__(decoder, precision)
        self.blocks = nn.ModuleList(list(decoder.model.layers)[first:end])

    def forward(self, carried: Carried) -> Carried:
        x_BTD, *documents = carried if isinstance(carried, tuple) else (carried,)
        with self.autocast(x_BTD.device):
            shared = self._trunk[0].block_inputs(x_BTD, self.view(x_BTD, documents))
            for block in self.blocks:
                x_BTD = block(x_BTD, shared)
            return _carry(x_BTD, documents)


class Norm(_Layer):
    """The final norm."""

    def __init__(self, decoder: Decoder, precision: str) -> None:
        super().__init__(decoder, precision)
        self.norm = decoder.model.norm

    def forward(self, carried: Carried) -> Carried:
        x_BTD, *_ = carried if isinstance(carried, tuple) else (carried,)
        with self.autocast(x_BTD.device):
            return cast(Tensor, self.norm(x_BTD))


class Head(_Layer):
    """x_BTD -> logits_BTV by an untied matrix."""

    def __init__(self, decoder: Decoder, precision: str) -> None:
        super().__init__(decoder, precision)
        self.lm_head = decoder.lm_head

    def forward(self, carried: Carried) -> Tensor:
        x_BTD, *_ = carried if isinstance(carried, tuple) else (carried,)
        with self.autocast(x_BTD.device):
            return soft_cap(cast(nn.Linear, self.lm_head)(x_BTD), self._trunk[0].config.logit_soft_cap)


def _carry(x_BTD: Tensor, documents: list[Tensor]) -> Carried:
    return (x_BTD, *documents) if documents else x_BTD


def first_input(batch: Mapping[str, Tensor]) -> Carried:
    """The input of the first stage."""
    return (batch["tokens"], batch["documents"]) if "documents" in batch else batch["tokens"]


class StageLoss:
    """The loss function of the last stage; it collects the metrics of each micro-batch, in order, until `take_metrics`."""

    def __init__(self, objective: NextToken) -> None:
        self.objective = objective
        self.scale = 1.0
        self._metrics: list[Tensor] = []

    def __call__(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        sums = self.objective.sums_of(logits_BTV, targets_BT)
        self._metrics.append(sums.detach())
        return sums[0] * self.scale

    def take_metrics(self) -> list[Tensor]:
        """Return the metrics collected since the last call."""
        metrics, self._metrics = self._metrics, []
        return metrics
