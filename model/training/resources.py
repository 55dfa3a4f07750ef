"""Resources of training: what it may use of the machine, and how it is distributed. Cheap to import (pydantic alone).

How training is distributed over processes and machines. Cheap to import; no part of a stage's identity.

Combinations that DeepSpeed can't do, or that would have no effect, are refused by name.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.hardware.devices import find_device
from model.training.train_config import TrainConfig

Offload = Literal["none", "cpu", "nvme"]


class ParallelConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Workers and nodes, what DeepSpeed's ZeRO partitions and offloads, and tensor and pipeline parallelism."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "hostfile": ("launcher=hostfile",),
        "rendezvous": ("launcher=torchrun",),
        "port": ("launcher=hostfile", "launcher=slurm"),
        "nvme_path": ("offload_optimizer=nvme", "offload_weights=nvme"),
    }

    workers: int = Field(
        1, ge=1, description="worker processes on all nodes together; a batch is divided among workers / (tensor x pipeline)"
    )
    zero_stage: int = Field(
        0, ge=0, le=3, description="what DeepSpeed partitions over workers: 0 nothing, 1 optimizer state, 2 also gradients, 3 also weights"
    )
    offload_optimizer: Offload = Field(
        "none",
        description="where ZeRO keeps the optimizer state: none: on the device; cpu: in memory (stages 1 to 3); nvme: on a disk (stage 3)",
    )
    offload_weights: Offload = Field("none", description="where ZeRO 3 keeps weights between uses: the same choices")
    nvme_path: str = Field("", description="folder on each node's fast local disk for offload to nvme")
    tensor: int = Field(
        1, ge=1, description="tensor parallelism: workers that share each matrix; must divide heads and feed_forward; 1: whole matrices"
    )
    pipeline: int = Field(
        1,
        ge=1,
        description="pipeline parallelism: stages that the blocks are divided into, one worker each; 1: no pipeline; DPO never uses one, "
        "its workers divide the batch instead",
    )
    nodes: int = Field(1, ge=1, description="machines, with equally many workers on each; all must see the same files under the same paths")
    launcher: Literal["local", "torchrun", "hostfile", "slurm"] = Field(
        "local",
        description="what starts the workers: local: folio, on this machine; torchrun: also by hand on the other nodes; hostfile: ssh to "
        "each host; slurm: srun in an allocation",
    )
    hostfile: str = Field(
        "",
        json_schema_extra={"format": "path"},
        description="file with lines `host slots=N`, as for DeepSpeed and MPI; the first `nodes` hosts are used",
    )
    rendezvous: str = Field("", description="host:port at which torchrun's nodes meet; any of the nodes can be the host")
    port: int = Field(29_500, ge=1_024, le=65_535, description="port on the first node at which all nodes meet")
    meet_seconds: float = Field(600, gt=0, description="longest wait for all workers to arrive, and for any exchange between them; seconds")

    @property
    def data_workers(self) -> int:
        """How many workers divide a batch; workers that hold parts of one model compute the same sequences."""
        return self.workers // (self.tensor * self.pipeline)

    @property
    def divides_weights(self) -> bool:
        """Whether weights are divided as they come to the device; tensor parallelism cuts them there, before ZeRO 3 divides them."""
        return self.zero_stage == 3 and self.tensor == 1

    @property
    def workers_per_node(self) -> int:
        """Workers on each machine."""
        return self.workers // self.nodes

    @model_validator(mode="after")
    def _workers_divide(self) -> ParallelConfig:
        if self.tensor > 1 and self.pipeline > 1:
            raise ValueError(f"tensor={self.tensor} with pipeline={self.pipeline}: they can't be combined; set one of them to 1")
        for name in ("tensor", "pipeline", "nodes"):
            count = getattr(self, name)
            if self.workers % count:
                raise ValueError(f"workers={self.workers} does not divide by {name}={count}; choose a multiple of {count} workers")
        return self

    @model_validator(mode="after")
    def _stage_fits(self) -> ParallelConfig:
        stage = self.zero_stage
        if self.pipeline > 1 and stage > 1:
            raise ValueError(
                f"zero_stage={stage} with pipeline={self.pipeline}: DeepSpeed can't partition gradients and weights in a pipeline; "
                "use zero_stage 0 or 1, or pipeline=1"
            )
        if self.tensor > 1 and stage == 0:
            raise ValueError(
                f"zero_stage=0 with tensor={self.tensor}: only ZeRO computes the norm of a cut gradient; use zero_stage 1 to 3"
            )
        if self.offload_weights != "none" and stage < 3:
            raise ValueError(
                f"offload_weights={self.offload_weights} with zero_stage={stage}: only stage 3 offloads weights; use zero_stage=3"
            )
        minimum = {"none": 0, "cpu": 1, "nvme": 3}[self.offload_optimizer]
        if stage < minimum:
            raise ValueError(
                f"offload_optimizer={self.offload_optimizer} with zero_stage={stage}: DeepSpeed can't offload it there; use zero_stage="
                f"{minimum}{' or more' if minimum < 3 else ', or offload_optimizer=cpu'}"
            )
        for name in ("offload_optimizer", "offload_weights"):
            if self.pipeline > 1 and getattr(self, name) != "none":
                raise ValueError(
                    f"{name}={getattr(self, name)} with pipeline={self.pipeline}: they can't be combined; use {name}=none, or pipeline=1"
                )
        if "nvme" in (self.offload_optimizer, self.offload_weights) and not self.nvme_path:
            raise ValueError("nvme_path is empty: offload to nvme needs a folder on a local disk")
        return self

    @model_validator(mode="after")
    def _launcher_fits(self) -> ParallelConfig:
        if self.nodes > 1 and self.launcher == "local":
            raise ValueError(
                f"nodes={self.nodes} with launcher=local: it starts workers only on this machine; use launcher torchrun, hostfile or slurm"
            )
        for launcher, key in (("hostfile", "hostfile"), ("torchrun", "rendezvous")):
            if self.launcher == launcher and not getattr(self, key):
                raise ValueError(f"{key} is empty: launcher={launcher} needs it")
        if self.rendezvous and not self.rendezvous.rpartition(":")[2].isdigit():
            raise ValueError(f"rendezvous={self.rendezvous!r} has no port; write host:port, such as node1:29400")
        return self


class TrainResources(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The resources of training. Rounding aside, none of them changes the weights."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "keep_every_steps": ("keep_in",),
        "keep_best": ("keep_in",),
        "keep_in": ("keep_every_steps", "keep_best"),
    }

    parallel: ParallelConfig = Field(ParallelConfig(), description="worker processes and how training is distributed over them")
    threads: int = Field(0, ge=0, description="threads per worker; 0: the machine's cores divided among its workers")
    micro_batch: int = Field(
        0,
        ge=0,
        description="most sequences computed at once by a worker; lowered to a divisor of its share of the batch; 0: as many as fit into "
        "an accelerator's free memory, on a CPU about 2,048 tokens",
    )
    loader_threads: int = Field(
        1, ge=0, le=64, description="threads that prefetch the rows of coming steps, one step each; 0: none; threads"
    )
    compile: bool = Field(False, description="use torch.compile on blocks and loss: a slower start, faster steps; needs a C++ compiler")
    tf32: bool = Field(
        False, description="compute fp32 products with TF32's 10 bits of mantissa: several times as fast, on NVIDIA cards from Ampere on"
    )
    deterministic: bool = Field(
        False,
        description="have an NVIDIA card compute the same bytes each time, on the same card, layout and libraries; slower, and what has no "
        "such algorithm fails by name; a CPU always does",
    )
    recompute: Literal["none", "blocks"] = Field(
        "none", description="activations recomputed in the backward pass instead of stored; blocks: a third more computing, less memory"
    )
    checkpoint_every_steps: int = Field(100, ge=1, description="steps between checkpoints")
    keep_every_steps: int = Field(0, ge=0, description="steps between model directories retained in keep_in; 0: none")
    keep_best: bool = Field(False, description="retain the weights of the lowest validation loss in keep_in")
    keep_in: str = Field("", description="folder for retained models; relative to the root; empty: retain none")
    keep_last: int = Field(2, ge=1, description="checkpoints kept during training; the newest is the one to resume from")
    sample_every: int = Field(
        0, ge=0, description="steps between text samples from the model, in pretraining and instruction tuning; 0: none"
    )
    mfu_peak: str = Field(
        "auto",
        description="peak that MFU is relative to: auto (the data sheet's if the accelerator is known, else measured), measured, or a "
        "device's name such as h100-sxm",
    )
    stall_seconds: float = Field(600, gt=0, description="time without progress after which the workers are considered dead; seconds")

    def for_training(self, train: TrainConfig) -> TrainResources:
        """Return the resources that a training stage uses: a loss that needs more than the last stage's logits runs without a pipeline."""
        if train.FROM_LOGITS or self.parallel.pipeline == 1:
            return self
        return self.model_copy(update={"parallel": self.parallel.model_copy(update={"pipeline": 1})})

    @model_validator(mode="after")
    def _samples_whole(self) -> TrainResources:
        if self.sample_every and self.parallel.pipeline > 1:
            raise ValueError(
                f"sample_every={self.sample_every} with parallel.pipeline={self.parallel.pipeline}: no worker has a whole model to sample "
                "from; set sample_every=0, or parallel.pipeline=1"
            )
        if self.mfu_peak not in ("auto", "measured"):
            find_device(self.mfu_peak)
        return self
