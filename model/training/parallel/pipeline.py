"""Pipeline parallelism: DeepSpeed's PipelineModule and its 1F1B schedule behind the methods of `Engine`.

Guarantee: the loss curve equals a single process's (within 1e-3 in fp32 over 20 steps). The workers of one pipeline compute the same share
of a batch; only the last stage has its metrics.
Cost: each stage idles (stages - 1) / (micro-batches + stages - 1) of the time; each micro-batch sends x_BTD once forward and its gradient
once back. Every worker builds the whole network in memory at the start, then frees what other stages hold.
Limits: no ZeRO 2 and 3 (DeepSpeed partitions gradients and weights only among whole models), and no objective with a reference model; the
job refuses both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import deepspeed
import torch
from deepspeed.pipe import PipelineModule
from torch import Tensor, distributed, nn

from model.networks.network import Network
from model.networks.tensor_files import LazyTensors
from model.objectives.protocol import FromLogits, Objective, unit_names
from model.seeds import draw_seed
from model.training.distributed import WorkerRank
from model.training.engine import LocalParameter, Update
from model.training.job import Job, JobError
from model.training.optimizers.build import build_optimizer, rate_factor
from model.training.parallel.compile import deepspeed_config
from model.training.parallel.stages import StageLoss, first_input, stage_layers


class PipelineEngine:
    """`Engine` for a network divided into pipeline stages. Every method is a collective, called by all workers."""

    def __init__(self, network: Network, objective: Objective, job: Job, worker: WorkerRank) -> None:
        if not isinstance(objective, FromLogits):
            raise JobError(f"kind={job.train.kind} with pipeline={job.resources.parallel.pipeline}: it needs a whole model; use pipeline=1")
        self.job, self.worker, self.objective = job, worker, objective
        self.updates, stages = 0, job.resources.parallel.pipeline
        self._adapter = job.train.adapter.build()
        self._names = {parameter: (name, parameter.shape) for name, parameter in network.named_parameters()}
        self._loss = StageLoss(objective)
        (self._unit,) = unit_names(objective)
        module = PipelineModule(
            stage_layers(network, stages, job.train.precision.PRODUCTS),
            num_stages=stages,
            loss_fn=self._loss,
            partition_method="type:Blocks",
            dynamic_shape=True,  # rows with one document send no documents_BT, and the last validation batch is shorter
        )
        _free_other_stages(network, module)
        self._optimizer = build_optimizer(module, job.train)
        if job.resources.parallel.zero_stage == 0:
            self._optimizer.register_step_pre_hook(self._clip)
        self._norm = torch.zeros((), dtype=torch.float64)
        self.deepspeed, *_ = deepspeed.initialize(
            model=module, optimizer=self._optimizer, config=deepspeed_config(job, network.cut_plan()), dist_init_required=False
        )

    @property
    def data_workers(self) -> int:
        """How many pipelines divide a batch."""
        return int(self.deepspeed.grid.data_parallel_size)

    @property
    def data_rank(self) -> int:
        """The number of the share of a batch that this worker's pipeline computes."""
        return int(self.deepspeed.grid.data_parallel_id)

    @property
    def counts(self) -> bool:
        """Whether this worker reports its pipeline's metrics: only the last stage has the loss."""
        return bool(self.deepspeed.is_last_stage())

    def update(self, micro_batches: Sequence[Mapping[str, Tensor]], units: Mapping[str, float]) -> Update:
        """Make one optimizer update; metrics are zero except on the last stage."""
        engine = self.deepspeed
        if len(micro_batches) != engine.micro_batches:
            engine.set_train_batch_size(len(micro_batches) * engine.micro_batch_size * self.data_workers)
        self._loss.scale = self.data_workers * len(micro_batches) / units[self._unit]
        torch.manual_seed(draw_seed(self.job.seed, self.updates, self.worker.rank))
        factor = rate_factor(self.updates, self.job.total_steps, self.job.train)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        engine.train_batch(_inputs(micro_batches))
        self.updates += 1
        norm = engine.get_global_grad_norm()
        sums = self._sums(self._loss.take_metrics())
        return Update(sums, self._norm if norm is None else torch.as_tensor(norm), self.job.train.learning_rate * factor, {})

    def scalars(self) -> dict[str, float]:
        """Return what `Engine.scalars` does; without fp16 the loss scale is 1."""
        return {"updates": self.updates, "loss_scale": 1.0, "good_updates": 0, "skipped_updates": 0}

    def set_scalars(self, scalars: Mapping[str, float]) -> None:
        """Restore `scalars`."""
        self.updates = int(scalars["updates"])

    def buffers(self) -> dict[str, Tensor]:
        """Return an empty mapping: models with buffers are not divided into stages."""
        return {}

    def measure(self, batches: Iterable[tuple[Mapping[str, float], Mapping[str, Tensor]]], objective: Objective | None = None) -> Tensor:
        """Return units and metrics summed over (units, batch), without learning; zeros except on the last stage.

        An `objective` other than the trained one can't be measured in stages.
        """
        if objective is not None:
            raise ValueError(f"{type(objective).__name__} can't be measured with pipeline={self.job.resources.parallel.pipeline}")
        listed = list(batches)
        sums = torch.zeros(1 + len(self.objective.terms), dtype=torch.float64)
        if not listed:
            return sums
        self.deepspeed.eval_batch(
            _inputs([batch for _, batch in listed]), reduce_output=None, compute_loss=True, bcast_loss=False, num_micro_batches=len(listed)
        )
        self.deepspeed.module.train()
        metrics = self._loss.take_metrics()
        if metrics:
            counted = [(units, values) for (units, _), values in zip(listed, metrics, strict=True) if units]
            sums[0] = sum(units[self._unit] for units, _ in counted)
            sums[1:] = self._sums([values for _, values in counted]).cpu()
        return sums

    def local_parameters(self) -> Iterator[LocalParameter]:
        """Yield the trained parameters of this worker's stage; tied embeddings are on the first and the last."""
        return (local for local in self._all_parameters() if local.parameter.requires_grad)

    def _all_parameters(self) -> Iterator[LocalParameter]:
        held = {parameter for parameter in self.deepspeed.module.parameters()}
        for parameter, (name, _) in self._names.items():
            if parameter in held:
                yield LocalParameter(name, parameter)

    def weights(self) -> LazyTensors:
        """Return the network's whole fp32 weights by name, with an adapter merged into them; on rank 0."""
        return self._adapter.merged(self._gather(frozen=True))

    def adapter_weights(self) -> dict[str, Tensor]:
        """Return the adapter's own tensors, which `weights` has merged; empty without an adapter, and on other ranks than 0."""
        return self._adapter.own(self._gather(frozen=False)) if self.job.train.adapter.KEEPS_BASE else {}

    def _gather(self, *, frozen: bool) -> dict[str, Tensor]:
        """Return tensors by name, on rank 0: the lowest rank that holds one sends it. `frozen`: also those that are not trained."""
        held = {local.name: local.parameter for local in self._all_parameters()}
        holders: list[list[str]] = [[] for _ in range(self.worker.world_size)]
        distributed.all_gather_object(holders, list(held))
        weights: dict[str, Tensor] = {}
        for parameter, (name, shape) in self._names.items():
            if not (frozen or parameter.requires_grad):
                continue
            owner = next(rank for rank, names in enumerate(holders) if name in names)
            if self.worker.is_first:
                whole = held[name].detach().float() if owner == 0 else torch.empty(shape, device=self.deepspeed.device)
                if owner:
                    distributed.recv(whole, owner)
                weights[name] = whole.to("cpu", copy=True)
            elif self.worker.rank == owner:
                distributed.send(held[name].detach().float().contiguous(), 0)
        return weights

    def _sums(self, metrics: list[Tensor]) -> Tensor:
        sums = torch.zeros(len(self.objective.terms), dtype=torch.float64, device=self.deepspeed.device)
        for values in metrics:
            sums += values
        return sums

    def _clip(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Before a step in ZeRO 0: compute the whole model's gradient norm in double precision, and clip to it."""
        squares = torch.zeros((), dtype=torch.float64, device=self.deepspeed.device)
        gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"] if parameter.grad is not None]
        for parameter in self.deepspeed.module.parameters():
            # A tied matrix is counted on the first stage only.
            if parameter.grad is not None and not getattr(parameter, "ds_pipe_replicated", False):
                squares += parameter.grad.double().square().sum()
        distributed.all_reduce(squares, group=self.deepspeed.grid.get_pipe_parallel_group())
        self._norm = squares.sqrt()
        if limit := self.job.train.clip:
            factor = (limit / (self._norm + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor)


def _free_other_stages(network: Network, module: nn.Module) -> None:
    """Free the parameters that other stages hold."""
    own = set(module.parameters())
    for parameter in network.parameters():
        if parameter not in own:
            parameter.data = parameter.data.new_empty(0)


def _inputs(micro_batches: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[Any, Tensor]]:
    return ((first_input(batch), batch["targets"]) for batch in micro_batches)
