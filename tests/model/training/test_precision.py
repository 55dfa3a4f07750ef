"""fp16's loss scale: halved on overflow, doubled after a while without; and precisions that are not offered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from model.networks.config import DecoderConfig
from model.training.config import PretrainConfig
from model.training.precision import LossScale
from model.training.precisions import Bf16Config, Fp16Config
from model.training.train_module import TrainModule


def test_the_scale_halves_at_an_overflow_and_doubles_after_a_window_of_good_updates() -> None:
    scale = LossScale(PretrainConfig(precision=Fp16Config(loss_scale=8, loss_scale_window=3)))
    seen = []
    for overflow in (True, False, False, True, False, False, False, False, False, False, False):
        scale.after(overflow)
        seen.append(scale.scale)
    assert seen == [4, 4, 4, 2, 2, 2, 4, 4, 4, 8, 8]
    assert scale.skipped == 2


def test_at_the_smallest_scale_an_overflow_is_not_due_to_the_scale() -> None:
    scale = LossScale(PretrainConfig(precision=Fp16Config(loss_scale=2)))
    assert scale.can_shrink
    scale.after(True)
    assert scale.scale == 1 and not scale.can_shrink


def test_other_types_have_no_scale() -> None:
    scale = LossScale(PretrainConfig(precision=Bf16Config()))
    assert scale.scale == 1 and not scale.can_shrink


def test_a_type_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"precision\n.*'fp32', 'bf16', 'fp16', 'fp8'"):
        PretrainConfig.model_validate({"precision": "int8"})


def rounded_copies(recompute: str) -> int:
    """How many rounded weights of earlier blocks are still in memory when the forward pass enters the last block."""
    network = DecoderConfig(width=32, layers=4, heads=2, kv_heads=2, context=16).build(64).train()
    network.recompute = recompute == "blocks"
    shapes = {parameter.shape for parameter in network.blocks().parameters() if parameter.dim() == 2}
    copies: list[StorageWeakRef] = []
    alive: list[int] = []

    class Casts(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten._to_copy.default and out.dtype == torch.bfloat16 and out.shape in shapes:
                copies.append(StorageWeakRef(out.untyped_storage()))  # type: ignore[no-untyped-call]
            return out

    network.blocks()[-1].register_forward_pre_hook(
        lambda *_: alive.append(sum(not copy.expired() for copy in copies))  # type: ignore[no-untyped-call]
    )
    objective = PretrainConfig().build_objective(network.config)
    tokens = torch.arange(16)[None] % 64
    with Casts():  # type: ignore[no-untyped-call]
        module = TrainModule(network, objective, Bf16Config())
        module({"tokens": tokens, "targets": tokens, "documents": torch.zeros_like(tokens)})
    return alive[0]


def test_blocks_that_are_computed_again_leave_no_rounded_weights_behind_in_the_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    # DeepSpeed's ZeRO 3 leaves a linear layer of its own in a process that has trained with it.
    monkeypatch.setattr(functional, "linear", torch._C._nn.linear)
    assert rounded_copies("none") > 0
    assert rounded_copies("blocks") == 0
