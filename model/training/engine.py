"""A typed interface to DeepSpeed: an engine that trains a network with an objective.

Guarantee: the same configuration gives the same losses (within 1e-3 in fp32, 5e-3 in bf16) in every ZeRO stage on any number of workers.
bf16 means bf16 matrix products under autocast: weights, gradients, their reduction and the optimizer stay fp32 in all stages, so the stage
decides where numbers are stored, not how they are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import deepspeed
import torch
from deepspeed.utils import safe_get_full_fp32_param
from torch import Tensor, distributed, nn

from model.layers.experts import rebalance
from model.networks.network import Network
from model.networks.tensor_files import LazyTensors
from model.objectives.protocol import Objective, mean_loss, surveyed, unit_names
from model.seeds import draw_seed
from model.training.distributed import WorkerRank, own_device
from model.training.job import Job
from model.training.optimizers.build import KEY as AVERAGE
from model.training.optimizers.build import average_weights, build_optimizer, rate_factor
from model.training.optimizers.config import EstimatesCurvature
from model.training.optimizers.matrices import UpdatesMatrices, partitioned_matrices
from model.training.optimizers.norms import UpdateRatio, clip_partitions, scales_on_device, skip_own_norm
from model.training.optimizers.state import whole_state
from model.training.parallel.compile import deepspeed_config, finish_cut, join_parts
from model.training.precision import LossScale, autocast
from model.training.train_module import Purpose, TrainModule, require_compiler

CHANGE_EVERY = 50


class Update(NamedTuple):
    """The result of one optimizer update: metrics summed over this worker's units, gradient norm before clipping, learning rate.

    Tensors are numbers that may still be computed on the device, where they lie; reading one waits for it. `applied` is false if fp16
    overflowed and no weight changed. `metrics` holds what only some updates have: under fp16 `loss_scale` and `skipped` (updates so
    far), every `CHANGE_EVERY` updates `update_norm`, the norm of the weights' change relative to theirs.
    """

    sums: Tensor
    norm: Tensor
    rate: float
    metrics: dict[str, float | Tensor]
    applied: bool = True


def divide_weights(network: Network, settings: Mapping[str, Any]) -> None:
    """Give each worker its part of rank 0's weights, and all of its buffers: ZeRO 3. A collective.

    A device holds one whole tensor at a time, and memory of the host that a worker has not touched stays unused.
    """
    deepspeed.zero.Init(module=network, config_dict_or_path=dict(settings), dtype=torch.float32)
    device = own_device()
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            whole = buffer.to(device)
            distributed.broadcast(whole, 0)
            module.register_buffer(name, whole, persistent=name not in module._non_persistent_buffers_set)


class LocalParameter(NamedTuple):
    """A parameter as this worker holds it: its name in the network, and which of `parts` equal parts of the whole along `dim` it is.

    Only tensor parallelism cuts a parameter into parts. ZeRO's partitions are not parts, as DeepSpeed gathers them by itself.
    """

    name: str
    parameter: nn.Parameter
    dim: int = 0
    part: int = 0
    parts: int = 1


class Engine:
    """A network being trained. The process group must have been joined; every method is a collective, called by all workers."""

    def __init__(self, module: TrainModule, job: Job, worker: WorkerRank) -> None:
        self.job, self.worker, self.objective = job, worker, module.objective
        self.updates = 0
        train, network, self._stage = job.train, module.network, job.resources.parallel.zero_stage
        self._adapter = train.adapter.build()
        network.recompute = job.resources.recompute == "blocks"
        self._optimizer = build_optimizer(network, train)
        self._on_device = scales_on_device(job)
        self._loss_scale = LossScale(train)
        self._update_ratio = UpdateRatio(self._optimizer, own_device())
        if train.ema_decay:
            average_weights(self._optimizer, train.ema_decay, lambda: None if self._estimating else self.updates)
        self._estimating = False
        self._expert_counts: Tensor | None = None
        settings = deepspeed_config(job, network.cut_plan(), own_norm=self._on_device)
        if job.resources.parallel.divides_weights:
            divide_weights(network, settings)
        if self._stage == 3:
            for weight in network.read_weights():
                deepspeed.zero.register_external_parameter(module, weight)
        self.deepspeed, *_ = deepspeed.initialize(model=module, optimizer=self._optimizer, config=settings, dist_init_required=False)
        if isinstance(self._optimizer, UpdatesMatrices):
            self._optimizer.find_matrices(partitioned_matrices(self.deepspeed))
        finish_cut(self.deepspeed, network, job.resources.parallel.tensor)
        self._parameters = list(network.parameters())
        if self._stage == 3 and self._on_device:
            skip_own_norm(self.deepspeed.optimizer)
        if self._stage == 0 and self.data_workers == 1:
            # DeepSpeed copies all gradients to reduce them even when there is only one worker.
            self.deepspeed.enable_backward_allreduce = False
        if job.resources.compile:
            require_compiler()
            network.compile_parts()

    @property
    def data_workers(self) -> int:
        """How many workers divide a batch."""
        return self.job.resources.parallel.data_workers

    @property
    def data_rank(self) -> int:
        """The number of the share of a batch that this worker computes."""
        return self.worker.rank // self.job.resources.parallel.tensor

    @property
    def counts(self) -> bool:
        """Whether this worker's units and metrics enter the sum over workers: one worker per share of a batch."""
        return self.worker.rank % self.job.resources.parallel.tensor == 0

    def update(self, micro_batches: Sequence[Mapping[str, Tensor]], units: Mapping[str, float]) -> Update:
        """Make one optimizer update from this worker's micro-batches; each term is divided by its `units`, the sum over all workers."""
        train, update = self.job.train, self.updates
        torch.manual_seed(draw_seed(self.job.seed, update, self.data_rank))
        factor = rate_factor(update, self.job.total_steps, train)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        micro_batches = self._surveyed([(True, batch) for batch in micro_batches])
        if (every := train.optimizer.curvature_every) and update % every == 0:
            self._estimate(micro_batches, units)
        sums = self._differentiate(micro_batches, units)
        with self._update_ratio.watched(update % CHANGE_EVERY == 0):
            norm = self._step(train.clip)
        # Only a loss scale that can shrink is worth waiting for the norm.
        overflow = self._loss_scale.can_shrink and not math.isfinite(norm)
        metrics = self._rebalance()
        if self._update_ratio.ratio is not None and not overflow:
            metrics["update_norm"] = self._update_ratio.ratio
        if self._loss_scale.dynamic:
            metrics["loss_scale"] = self._loss_scale.scale
            self._loss_scale.after(overflow)
            metrics["skipped"] = float(self._loss_scale.skipped)
        self.updates = update + 1
        return Update(sums, norm, train.learning_rate * factor, metrics, not overflow)

    def _differentiate(
        self, micro_batches: Sequence[Mapping[str, Tensor]], units: Mapping[str, float], *, purpose: Purpose = "sums"
    ) -> Tensor:
        """Compute the gradients of the mean loss times the loss scale; return the summed terms, fp64."""
        engine, scale = self.deepspeed, self._loss_scale.scale
        if self._stage:
            engine.optimizer.override_loss_scale(scale)
        # DeepSpeed takes the mean over workers. Dividing the loss, not the gradients, gives a plain loop's result bit for bit.
        divisors, last = {name: count / self.data_workers for name, count in units.items()}, len(micro_batches) - 1
        sums: Tensor | None = None
        self._expert_counts = None
        for number, batch in enumerate(micro_batches):
            engine.set_gradient_accumulation_boundary(number == last)
            terms = engine(batch, purpose)
            self._count_experts()
            loss = mean_loss(self.objective, terms, divisors)
            engine.backward(loss if self._stage else loss * scale, scale_wrt_gas=False)
            sums = terms.detach().double() if sums is None else sums + terms.detach()
        assert sums is not None, "an update has at least one micro-batch"
        return sums

    def _count_experts(self) -> None:
        """Add what the last pass noted of its experts to the step's counts."""
        network: Network = self.deepspeed.module.network
        if (noted := network.expert_counts) is not None:
            self._expert_counts = noted if self._expert_counts is None else self._expert_counts + noted

    def _rebalance(self) -> dict[str, float | Tensor]:
        """Move the experts' biases by the counts of the step just made, over all workers; return what the step log says of them."""
        if self._expert_counts is None:
            return {}
        return dict(rebalance(self.deepspeed.module.network, self.sum(self._expert_counts)))

    def _step(self, clip: float) -> Tensor:
        """Apply the gradient, clipped to norm `clip` (0: unclipped); return the norm before clipping.

        Where the host has to know the norm first, a gradient whose norm is not finite is not applied.
        """
        engine = self.deepspeed
        if self._stage and self._on_device:
            norm = clip_partitions(engine.optimizer, clip)
            engine.step()
            return norm
        if self._stage:
            engine.optimizer.clip_grad = clip
            engine.step()
            return torch.as_tensor(engine.get_global_grad_norm())
        if self._loss_scale.scale != 1:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(self._loss_scale.scale)
        norm = nn.utils.clip_grad_norm_(self._parameters, clip or math.inf)
        if self._on_device or math.isfinite(norm):
            engine.step()
        else:
            engine.zero_grad()
        return norm

    def _estimate(self, micro_batches: Sequence[Mapping[str, Tensor]], units: Mapping[str, float]) -> None:
        """Update the optimizer's estimate of the curvature: a backward pass with drawn targets, whose gradients change no weight."""
        self._differentiate(micro_batches, units, purpose="drawn")
        self._estimating = True
        with cast(EstimatesCurvature, self._optimizer).estimating(next(units[term.unit] for term in self.objective.terms if term.weight)):
            self._step(0.0)
        self._estimating = False

    def scalars(self) -> dict[str, float]:
        """Return what a checkpoint must hold besides weights and optimizer state; `set_scalars` restores it."""
        scale = self._loss_scale
        return {"updates": self.updates, "loss_scale": scale.scale, "good_updates": scale.good, "skipped_updates": scale.skipped}

    def set_scalars(self, scalars: Mapping[str, float]) -> None:
        """Restore `scalars`; the number of updates decides the learning rate, batch and dropout of the next one."""
        scale, self.updates = self._loss_scale, int(scalars["updates"])
        scale.scale, scale.good, scale.skipped = scalars["loss_scale"], int(scalars["good_updates"]), int(scalars["skipped_updates"])

    def measure(self, batches: Iterable[tuple[Mapping[str, float], Mapping[str, Tensor]]], objective: Objective | None = None) -> Tensor:
        """Return units, then terms, summed over this worker's (units, batch), without learning; no units: computed, not counted.

        `objective`: measured instead of the one that is trained. With `ema_decay` the moving average of the weights is measured, which is
        the model that will be saved.
        """
        module, measured = self.deepspeed.module, objective or self.objective
        names = unit_names(measured)
        counts = torch.zeros(len(names), dtype=torch.float64)
        sums: Tensor | None = None
        self.deepspeed.eval()
        module.objective = measured
        try:
            with torch.no_grad(), self._averaged():
                if surveyed(measured):
                    kept = list(batches)
                    informed = self._surveyed([(bool(units), batch) for units, batch in kept])
                    batches = zip((units for units, _ in kept), informed, strict=True)
                    self.deepspeed.eval()
                for units, batch in batches:
                    terms = self.deepspeed(batch)
                    if units:
                        counts += torch.tensor([units[name] for name in names], dtype=torch.float64)
                        sums = terms.double() if sums is None else sums + terms
        finally:
            module.objective = self.objective
            self.deepspeed.train()
        return torch.cat((counts, torch.zeros(len(measured.terms), dtype=torch.float64) if sums is None else sums.cpu()))

    def forward(self, batch: Mapping[str, Tensor], purpose: Purpose) -> Tensor:
        """Return what the module computes of a batch for this purpose, without learning."""
        self.deepspeed.eval()
        with torch.no_grad():
            found: Tensor = self.deepspeed(batch, purpose)
        self.deepspeed.train()
        return found

    def sum(self, numbers: Tensor) -> Tensor:
        """Return the sum over the shares of the data, on the device."""
        total = (numbers * self.counts).to(next(self.deepspeed.module.parameters()).device)  # NCCL takes no CPU tensors
        if self.worker.world_size > 1:
            distributed.all_reduce(total)
        return total

    def _surveyed(self, batches: Sequence[tuple[bool, Mapping[str, Tensor]]]) -> list[Mapping[str, Tensor]]:
        """Return the batches with the statistics that the objective needs over all workers' batches before it can sum any.

        Each comes with whether it counts.
        """
        names = surveyed(self.deepspeed.module.objective)
        if not names:
            return [batch for _, batch in batches]
        parts = [self.forward(batch, "survey").double() * counts for counts, batch in batches]
        found = self.sum(torch.stack(parts).sum(dim=0) if parts else torch.zeros(len(names), dtype=torch.float64)).float()
        return [{**batch, **dict(zip(names, found, strict=True))} for _, batch in batches]

    def next_logits(self, tokens_BT: Tensor) -> Tensor:
        """Return logits_BV of the token after each row, in fp32 arithmetic, without learning."""
        self.deepspeed.eval()
        with torch.no_grad(), self._averaged():
            logits_BTV: Tensor = self.deepspeed.module({"tokens": tokens_BT}, "logits")
        self.deepspeed.train()
        return logits_BTV[:, -1]

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Compute with the moving average of the weights inside the block, if there is one; costs one more copy of them in memory."""
        if not self._has_average:
            yield
            return
        parameters = [local.parameter for local in self.local_parameters()]
        if self._stage == 3:
            for parameter in parameters:
                self._gathered_write(parameter, self._average(parameter))
            try:
                yield
            finally:
                for parameter in parameters:
                    self._gathered_write(parameter, safe_get_full_fp32_param(parameter))
            return
        trained = [parameter.data for parameter in parameters]
        for parameter in parameters:
            parameter.data = self._average(parameter)
        try:
            yield
        finally:
            for parameter, data in zip(parameters, trained, strict=True):
                parameter.data = data

    def _gathered_write(self, parameter: nn.Parameter, value: Tensor) -> None:
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            parameter.data.copy_(value)

    @property
    def _has_average(self) -> bool:
        return bool(self.job.train.ema_decay) and self.updates > self._loss_scale.skipped

    def _average(self, parameter: nn.Parameter) -> Tensor:
        """The moving average of a whole parameter, on every worker."""
        return whole_state(self.deepspeed, parameter, AVERAGE)

    def local_parameters(self) -> Iterator[LocalParameter]:
        """Yield the trained parameters that this worker holds, in the network's order."""
        return (local for local in self._all_parameters() if local.parameter.requires_grad)

    def _all_parameters(self) -> Iterator[LocalParameter]:
        tensor, plan = self.job.resources.parallel.tensor, self.deepspeed.module.network.cut_plan()
        for name, parameter in self.deepspeed.module.network.named_parameters():
            dim = plan.along(name)
            if tensor > 1 and dim is not None:
                yield LocalParameter(name, parameter, dim, self.worker.rank % tensor, tensor)
            else:
                yield LocalParameter(name, parameter)

    def buffers(self) -> dict[str, Tensor]:
        """Return the network's saved buffers, such as a batch norm's running means; each worker has its own."""
        network = self.deepspeed.module.network
        saved = network.state_dict(keep_vars=True)
        return {name: buffer for name, buffer in network.named_buffers() if name in saved}

    def weights(self) -> LazyTensors:
        """Return the network's whole fp32 weights, or their moving average if there is one, and its buffers, by name; on rank 0 only.

        An adapter is merged into them if it can be, into each as it is asked for. Distributed tensors are gathered one at a time, so memory
        holds one whole tensor more. What training does not change is not copied.
        """
        weights = self._merged(self._gather(self._all_parameters()))
        buffers = self.buffers() if self.worker.is_first else {}
        return weights | {name: buffer.to("cpu", copy=True) for name, buffer in buffers.items()}

    def adapter_weights(self) -> dict[str, Tensor]:
        """Return the adapter's own tensors, which `weights` has merged; empty without an adapter, and on other ranks than 0."""
        return self._adapter.own(self._gather(self.local_parameters())) if self.job.train.adapter.KEEPS_BASE else {}

    def _merged(self, gathered: Mapping[str, Tensor]) -> LazyTensors:
        """Return whole weights from gathered tensors, with the adapter merged if it can be; empty where nothing was gathered."""
        kept = self._adapter.kept(self.deepspeed.module.network)
        return self._adapter.merged(LazyTensors(gathered) | kept) if gathered else LazyTensors({})

    def _gather(self, parameters: Iterator[LocalParameter], *, averaged: bool = True, everywhere: bool = False) -> dict[str, Tensor]:
        """Return whole tensors by name, in CPU memory: with `averaged` moving averages where there are any; on rank 0, or everywhere."""
        tensors: dict[str, Tensor] = {}
        for name, parameter, dim, _, parts in parameters:
            average = averaged and self._has_average and parameter.requires_grad
            with deepspeed.zero.GatheredParameters([parameter], enabled=self._stage == 3 and not average):
                part = (self._average(parameter) if average else parameter).detach()
                whole = part if parts == 1 else join_parts(part, dim, parts)
                if everywhere or self.worker.is_first:
                    changes = parameter.requires_grad or self._stage == 3  # ZeRO 3 takes a gathered tensor back
                    tensors[name] = whole.to("cpu", torch.float32, copy=changes)
        return tensors

    @contextmanager
    def whole_network(self) -> Iterator[Network]:
        """Yield the network with its whole weights as they are now, to compute with on this worker alone, without learning.

        Where weights are divided (ZeRO 3, tensor parallelism) it is a copy, gathered once, for which there must be memory.
        """
        network, products = self.deepspeed.module.network, self.job.train.precision.PRODUCTS
        device = next(iter(network.parameters())).device
        self.deepspeed.eval()
        try:
            whole = self._copied(network, device) if self._stage == 3 or self.job.resources.parallel.tensor > 1 else network
            with torch.no_grad(), autocast(device.type, products):
                yield whole
        finally:
            self.deepspeed.train()

    def _copied(self, network: Network, device: torch.device) -> Network:
        """A separate network with the gathered weights of one that is sharded over workers."""
        gathered = self._gather(self._all_parameters(), averaged=False, everywhere=True)
        tensors = self._merged(gathered) | self.buffers()
        whole = network.config.build(network.vocab_size).to(device).eval()
        with torch.no_grad():
            for name, target in (*whole.named_parameters(), *whole.named_buffers()):
                if name in tensors:  # buffers that are not saved, such as rotary tables, follow from the config
                    target.copy_(tensors[name])
        if not self.job.train.adapter.MERGES:
            self._adapter.restore(whole, self._adapter.own(gathered))
        return whole
