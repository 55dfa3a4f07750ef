"""DeepSpeed as one typed function: a decoder and an objective in, an engine that trains them out.

Guarantee: the same configuration gives the same losses (within 1e-3 in fp32, 5e-3 in bf16) in every ZeRO stage on any number of workers.
bf16 means bf16 matrix products under autocast: weights, gradients, their reduction and AdamW stay fp32 in all stages, so
the stage decides where numbers live and not how they are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from model.architecture.decoder import Decoder
from model.objectives.objective import Objective
from model.training.config import TrainConfig
from model.training.job import Job
from model.training.schedule import rate_factor


class Lesson(nn.Module):
    """A decoder with what it is taught: the module that the engine wraps. Its forward is the objective's sums."""

    def __init__(self, decoder: Decoder, objective: Objective, precision: str, reference: Decoder | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.objective = objective
        self.precision = precision
        # In a tuple the reference is no submodule: it is neither trained, nor partitioned, nor saved.
        self._reference = (reference,)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        device_type = next(iter(batch.values())).device.type
        with torch.autocast(device_type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.objective.sums(self.decoder, batch, self._reference[0])


def adamw(decoder: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) in torch's fused form; matrices decay, norms (one dimension) do not."""
    matrices = [parameter for parameter in decoder.parameters() if parameter.dim() > 1]
    gains = [parameter for parameter in decoder.parameters() if parameter.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": gains, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def deepspeed_config(job: Job) -> dict[str, Any]:
    """The DeepSpeed configuration of a job: nobody writes it by hand."""
    share = job.train.global_batch // job.resources.workers
    return {
        "train_batch_size": job.train.global_batch,
        "train_micro_batch_size_per_gpu": job.micro_batch,
        "gradient_accumulation_steps": share // job.micro_batch,
        # Stage 0 takes the norm in single precision, where its rounding grows to 1e-3 of the loss in 60 steps: see `clip_gradients`.
        "gradient_clipping": job.train.clip if job.resources.zero_stage else 0.0,
        "zero_optimization": {"stage": job.resources.zero_stage},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }


def build_engine(lesson: Lesson, job: Job) -> deepspeed.DeepSpeedEngine:
    """Wrap the lesson for training. The process group must have been joined."""
    total = job.total_steps
    decoder = lesson.decoder
    if job.resources.zero_stage == 3 and decoder.lm_head is None:
        # The tied matrix is read twice, the second time outside of the module that owns it.
        deepspeed.zero.register_external_parameter(decoder, decoder.model.embed_tokens.weight)
    engine, *_ = deepspeed.initialize(
        model=lesson,
        optimizer=adamw(decoder, job.train),
        lr_scheduler=lambda optimizer: LambdaLR(optimizer, lambda update: rate_factor(update, total, job.train)),
        config=deepspeed_config(job),
        dist_init_required=False,
    )
    return engine


def clip_gradients(engine: deepspeed.DeepSpeedEngine, limit: float) -> float | None:
    """In stage 0, scale the gradient down to norm `limit` (0: leave it) as the other stages do by themselves; its norm before that.

    None in the other stages, whose norm the engine tells after the step. The norm is taken in double precision, as there.
    """
    if engine.zero_optimization_stage() != 0:
        return None
    gradients = [parameter.grad for parameter in engine.module.parameters() if parameter.grad is not None]
    norm = float(torch.stack([gradient.double().norm() for gradient in gradients]).norm())
    if limit and norm + 1e-6 > limit:
        for gradient in gradients:
            gradient.mul_(limit / (norm + 1e-6))
    return norm


def full_weights(engine: deepspeed.DeepSpeedEngine) -> dict[str, Tensor]:
    """The decoder's whole fp32 weights by name, on every worker for stages 0 to 2, on the first for stage 3.

    All workers must call it: stage 3 gathers one tensor at a time, so that memory holds one whole tensor more.
    """
    weights: dict[str, Tensor] = {}
    for name, parameter in engine.module.decoder.named_parameters():
        if engine.zero_optimization_stage() == 3:
            with deepspeed.zero.GatheredParameters([parameter]):
                if engine.global_rank == 0:
                    weights[name] = parameter.detach().to("cpu", torch.float32, copy=True)
        else:
            weights[name] = parameter.detach().to("cpu", torch.float32)
    return weights


def finite(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
