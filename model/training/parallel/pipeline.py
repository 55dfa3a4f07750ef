"""Pipeline parallelism: DeepSpeed's PipelineModule and its 1F1B schedule behind the methods of `Engine`.

Guarantee: the loss curve is the single process's (within 1e-3 in fp32 over 20 steps). The workers of one pipeline compute the same share
of a batch; the last stage alone has its metrics.
Cost: a stage waits (stages - 1) / (micro-batches + stages - 1) of the time; each micro-batch sends x_BTD once forward and its gradient
once back. Every worker builds the whole decoder in memory at the start and then lets go of what is not its own.
When it can't: ZeRO 2 and 3 (DeepSpeed splits gradients and weights among whole models only), and objectives that ask a reference model;
both are refused where the job is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import deepspeed
import torch
from deepspeed.pipe import PipelineModule
from torch import Tensor, distributed, nn

from model.networks.decoder import Decoder
from model.objectives.next_token import NextToken
from model.objectives.objective import Objective
from model.training.distributed import WorkerRank
from model.training.engine import LocalParameter, Update
from model.training.job import Job, JobError
from model.training.optimizers.build import build_optimizer
from model.training.parallel.compile import deepspeed_config
from model.training.parallel.stages import StageLoss, first_input, stage_layers
from model.training.schedule import rate_factor
from model.training.train_module import dropout_seed


class PipelineEngine:
    """`Engine` for a decoder whose blocks are dealt out over stages. Every method is a meeting of all workers."""

    def __init__(self, decoder: Decoder, objective: object, job: Job, worker: WorkerRank) -> None:
        if not isinstance(objective, NextToken):
            raise JobError(
                f"objective={job.train.objective} with pipeline={job.resources.parallel.pipeline}: it needs a whole model; pipeline=1"
            )
        self.job, self.worker, self.objective = job, worker, objective
        self.updates, stages = 0, job.resources.parallel.pipeline
        self._names = {parameter: (name, parameter.shape) for name, parameter in decoder.named_parameters()}
        self._loss = StageLoss(objective)
        module = PipelineModule(
            stage_layers(decoder, stages, job.train.precision),
            num_stages=stages,
            loss_fn=self._loss,
            partition_method="type:Run",
            dynamic_shape=True,  # rows of one document send no documents, and the last validation batch is shorter
        )
        _let_go_of_others(decoder, module)
        self._optimizer = build_optimizer(module, job.train)
        if job.resources.parallel.zero_stage == 0:
            self._optimizer.register_step_pre_hook(self._clip)
        self._norm = 0.0
        self.deepspeed, *_ = deepspeed.initialize(
            model=module, optimizer=self._optimizer, config=deepspeed_config(job), dist_init_required=False
        )

    @property
    def data_workers(self) -> int:
        """Among how many pipelines a batch is shared."""
        return int(self.deepspeed.grid.data_parallel_size)

    @property
    def data_rank(self) -> int:
        """Whose share of a batch this worker's pipeline computes."""
        return int(self.deepspeed.grid.data_parallel_id)

    @property
    def counts(self) -> bool:
        """Whether this worker speaks for its pipeline: the last stage, which has the loss."""
        return bool(self.deepspeed.is_last_stage())

    def update(self, micro_batches: Sequence[Mapping[str, Tensor]], units: float) -> Update:
        """One optimizer update; metrics are zero on all but the last stage."""
        engine = self.deepspeed
        if len(micro_batches) != engine.micro_batches:
            engine.set_train_batch_size(len(micro_batches) * engine.micro_batch_size * self.data_workers)
        self._loss.scale = self.data_workers * len(micro_batches) / units
        torch.manual_seed(dropout_seed(self.job.seed, self.updates, self.worker.rank))
        factor = rate_factor(self.updates, self.job.total_steps, self.job.train)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        engine.train_batch(_fed(micro_batches))
        self.updates += 1
        norm = engine.get_global_grad_norm()
        sums = self._sums(self._loss.taken())
        return Update(sums, self._norm if norm is None else float(norm), self.job.train.learning_rate * factor, {})

    def scalars(self) -> dict[str, float]:
        """What a checkpoint must hold beside weights and optimizer state, as `Engine` tells it; without fp16 the loss scale is 1."""
        return {"updates": self.updates, "loss_scale": 1.0, "good_updates": 0, "skipped_updates": 0}

    def set_scalars(self, scalars: Mapping[str, float]) -> None:
        """Go on from these."""
        self.updates = int(scalars["updates"])

    def buffers(self) -> dict[str, Tensor]:
        """None: a model whose layers keep any is not cut into stages."""
        return {}

    def measure(self, batches: Iterable[tuple[int, Mapping[str, Tensor]]], objective: Objective | None = None) -> Tensor:
        """Units and metrics summed over (units, batch), nothing learned; zeros on all but the last stage.

        ValueError: another `objective` than what is taught can't be measured in stages.
        """
        if objective is not None:
            raise ValueError(f"{type(objective).__name__} can't be measured with pipeline={self.job.resources.parallel.pipeline}")
        held = list(batches)
        sums = torch.zeros(1 + len(self.objective.metrics), dtype=torch.float64)
        if not held:
            return sums
        self.deepspeed.eval_batch(
            _fed([batch for _, batch in held]), reduce_output=None, compute_loss=True, bcast_loss=False, num_micro_batches=len(held)
        )
        self.deepspeed.module.train()
        metrics = self._loss.taken()
        if metrics:
            counted = [(units, values) for (units, _), values in zip(held, metrics, strict=True) if units]
            sums[0] = sum(units for units, _ in counted)
            sums[1:] = self._sums([values for _, values in counted])
        return sums

    def local_parameters(self) -> Iterator[LocalParameter]:
        """The parameters of this worker's stage, by their names in the decoder; tied embeddings on the first and on the last."""
        held = {parameter for parameter in self.deepspeed.module.parameters()}
        for parameter, (name, _) in self._names.items():
            if parameter in held:
                yield LocalParameter(name, parameter)

    def weights(self) -> dict[str, Tensor]:
        """The decoder's whole fp32 weights by name, on the first worker: each tensor is sent by the first one that holds it."""
        held = {local.name: local.parameter for local in self.local_parameters()}
        everyone: list[list[str]] = [[] for _ in range(self.worker.world_size)]
        distributed.all_gather_object(everyone, list(held))
        weights: dict[str, Tensor] = {}
        for name, shape in self._names.values():
            owner = next(rank for rank, names in enumerate(everyone) if name in names)
            if self.worker.is_first:
                whole = held[name].detach().float() if owner == 0 else torch.empty(shape, device=self.deepspeed.device)
                if owner:
                    distributed.recv(whole, owner)
                weights[name] = whole.to("cpu", copy=True)
            elif self.worker.rank == owner:
                distributed.send(held[name].detach().float().contiguous(), 0)
        return weights

    def _sums(self, metrics: list[Tensor]) -> Tensor:
        sums = torch.zeros(len(self.objective.metrics), dtype=torch.float64)
        for values in metrics:
            sums += values.double().cpu()
        return sums

    def _clip(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Before a step in stage 0: the whole model's norm, in double precision, and the gradient scaled down to `clip`."""
        squares = torch.zeros((), dtype=torch.float64, device=self.deepspeed.device)
        gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"] if parameter.grad is not None]
        for parameter in self.deepspeed.module.parameters():
            # A tied matrix is counted where it is first.
            if parameter.grad is not None and not getattr(parameter, "ds_pipe_replicated", False):
                squares += parameter.grad.double().square().sum()
        distributed.all_reduce(squares, group=self.deepspeed.grid.get_pipe_parallel_group())
        self._norm = float(squares.sqrt())
        limit = self.job.train.clip
        if limit and self._norm + 1e-6 > limit:
            for gradient in gradients:
                gradient.mul_(limit / (self._norm + 1e-6))


def _let_go_of_others(decoder: Decoder, module: nn.Module) -> None:
    """Free the memory of what other stages hold."""
    own = set(module.parameters())
    for parameter in decoder.parameters():
        if parameter not in own:
            parameter.data = parameter.data.new_empty(0)


def _fed(micro_batches: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[Any, Tensor]]:
    return ((first_input(batch), batch["targets"]) for batch in micro_batches)
