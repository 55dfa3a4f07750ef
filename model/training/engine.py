"""DeepSpeed behind one typed face: a decoder and an objective in, an engine that trains them out.

Guarantee: the same configuration gives the same losses (within 1e-3 in fp32, 5e-3 in bf16) in every ZeRO stage on any number of workers.
bf16 means bf16 matrix products under autocast: weights, gradients, their reduction and AdamW stay fp32 in all stages, so
the stage decides where numbers live and not how they are rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import deepspeed
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from model.architecture.decoder import Decoder
from model.objectives.objective import Objective
from model.training.config import TrainConfig
from model.training.distributed import Place
from model.training.job import Job
from model.training.parallel.compile import deepspeed_config
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


class Update(NamedTuple):
    """What one optimizer update tells: metrics summed over this worker's units, the gradient's norm before clipping, the rate."""

    sums: Tensor
    norm: float
    rate: float


class Piece(NamedTuple):
    """A parameter as this worker holds it: its name in the decoder, and which part of the whole tensor along `dim` it is.

    ZeRO's partitions are no parts: DeepSpeed gathers them by itself. Tensor parallelism cuts a parameter for good.
    """

    name: str
    parameter: nn.Parameter
    dim: int = 0
    part: int = 0
    parts: int = 1


class Engine:
    """A decoder being trained: what the trainer, the checkpoints and the records know of DeepSpeed.

    Every method is a meeting of all workers. The process group must have been joined.
    """

    def __init__(self, lesson: Lesson, job: Job, place: Place) -> None:
        self.job, self.place, self.objective = job, place, lesson.objective
        total, decoder = job.total_steps, lesson.decoder
        train, resources = job.train, job.resources
        chosen = {"optimizer": train.optimizer, "schedule": train.schedule, "precision": train.precision, "ema_decay": train.ema_decay}
        chosen |= {"batch_warmup_steps": train.batch_warmup_steps, "recompute": resources.recompute, "compile": resources.compile}
        offered = {"optimizer": ("adamw",), "schedule": ("cosine",), "precision": ("fp32", "bf16"), "recompute": ("none",)}
        for name, value in chosen.items():
            if value and value not in offered.get(name, ()):
                raise ValueError(f"{name}={value} is not offered; give it its default")
        if job.resources.parallel.zero_stage == 3 and decoder.lm_head is None:
            # The tied matrix is read twice, the second time outside of the module that owns it.
            deepspeed.zero.register_external_parameter(decoder, decoder.model.embed_tokens.weight)
        self.deepspeed, *_ = deepspeed.initialize(
            model=lesson,
            optimizer=adamw(decoder, job.train),
            lr_scheduler=lambda optimizer: LambdaLR(optimizer, lambda update: rate_factor(update, total, job.train)),
            config=deepspeed_config(job),
            dist_init_required=False,
        )

    @property
    def data_workers(self) -> int:
        """Among how many workers a batch is shared."""
        return self.place.world

    @property
    def data_rank(self) -> int:
        """Whose share of a batch this worker computes."""
        return self.place.rank

    @property
    def counts(self) -> bool:
        """Whether this worker's units and metrics are added to the others': once for each share of a batch."""
        return True

    def update(self, micro_batches: Sequence[Mapping[str, Tensor]], units: float) -> Update:
        """One optimizer update from this worker's micro-batches; the loss is divided by `units`, those of all workers."""
        engine = self.deepspeed
        # DeepSpeed divides by accumulation steps and averages over workers: undo both, then divide by the units.
        scale = self.data_workers * len(micro_batches) / units
        sums = torch.zeros(len(self.objective.metrics), dtype=torch.float64)
        rate = engine.get_lr()[0]
        norm: float | None = None
        for batch in micro_batches:
            loss, metrics = engine(batch)
            engine.backward(loss * scale)
            if engine.is_gradient_accumulation_boundary():
                norm = clip_gradients(engine, self.job.train.clip)
            engine.step()
            sums += metrics.double().cpu()
        return Update(sums, float(engine.get_global_grad_norm()) if norm is None else norm, rate)

    def measure(self, batches: Iterable[tuple[int, Mapping[str, Tensor]]]) -> Tensor:
        """Units and metrics summed over this worker's part of (units, batch), nothing learned; units 0: computed, not counted."""
        sums = torch.zeros(1 + len(self.objective.metrics), dtype=torch.float64)
        self.deepspeed.eval()
        with torch.no_grad():
            for units, batch in batches:
                _, metrics = self.deepspeed(batch)
                if units:
                    sums += torch.cat((torch.tensor([float(units)]), metrics.cpu())).double()
        self.deepspeed.train()
        return sums

    def next_logits(self, tokens_BT: Tensor) -> Tensor:
        """logits_BV of the token after each row, in fp32 arithmetic, nothing learned."""
        self.deepspeed.eval()
        with torch.no_grad():
            logits_BTV: Tensor = self.deepspeed.module.decoder(tokens_BT)
        self.deepspeed.train()
        return logits_BTV[:, -1]

    def pieces(self) -> Iterator[Piece]:
        """The parameters that this worker holds, in the decoder's order."""
        for name, parameter in self.deepspeed.module.decoder.named_parameters():
            yield Piece(name, parameter)

    def buffers(self) -> dict[str, Tensor]:
        """What the decoder keeps besides its parameters, such as a batch norm's running means; each worker has its own."""
        decoder = self.deepspeed.module.decoder
        kept = decoder.state_dict(keep_vars=True)
        return {name: buffer for name, buffer in decoder.named_buffers() if name in kept}

    def weights(self) -> dict[str, Tensor]:
        """The decoder's whole fp32 weights by name, on every worker for stages 0 to 2, on the first for stage 3.

        Stage 3 gathers one tensor at a time, so that memory holds one whole tensor more.
        """
        weights: dict[str, Tensor] = {}
        for name, parameter, *_ in self.pieces():
            if self.job.resources.parallel.zero_stage == 3:
                with deepspeed.zero.GatheredParameters([parameter]):
                    if self.place.leads:
                        weights[name] = parameter.detach().to("cpu", torch.float32, copy=True)
            else:
                weights[name] = parameter.detach().to("cpu", torch.float32)
        return weights


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
