"""Tensor parallelism through DeepSpeed's AutoTP: matrices cut over workers, as Megatron-LM does (Shoeybi et al., 2019).

Guarantee: the loss curve is the single process's (within 1e-3 in fp32 over 20 steps), in ZeRO 1 to 3. Workers of one model are neighbours
by number, so that they share a node; they compute the same sequences and exchange x_BTD twice a block and direction.
What is cut and where is in `compile`; attention then sees its own share of the heads.
"""

from __future__ import annotations

import deepspeed
import torch
from deepspeed.utils import groups
from torch import Tensor, distributed

from model.layers.attention import Attention
from model.networks.decoder import Decoder


def finish_cut(engine: deepspeed.DeepSpeedEngine, decoder: Decoder, tensor: int) -> None:
    """After DeepSpeed has cut the matrices: each attention has its share of the heads."""
    if tensor == 1:
        return
    for attention in decoder.model.layers.modules():
        if isinstance(attention, Attention):
            attention.heads //= tensor
            attention.kv_heads //= tensor
    # DeepSpeed would compare the first batch of all workers, which it can't do with a mapping of tensors; ours is a function of the step.
    engine.first_dataloader_check.remove()
    engine.first_dataloader_check = None


def joined(part: Tensor, dim: int, tensor: int) -> Tensor:
    """The whole of a parameter from its `tensor` parts; all workers of one model call this."""
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(tensor)]
    distributed.all_gather(parts, part.contiguous(), group=groups.get_tensor_model_parallel_group())
    return torch.cat(parts, dim=dim)
