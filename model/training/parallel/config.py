"""How training is spread over processes and machines, and where its numbers live. Cheap to import; none of it is identity.

A combination that DeepSpeed can't do, or that would do nothing, is refused here by the names and values of its keys, with the way out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

Offload = Literal["none", "cpu", "nvme"]


class ParallelConfig(BaseModel, frozen=True, extra="forbid"):
    """Workers over nodes, what DeepSpeed's ZeRO spreads over them or moves out of the accelerators, and how a model is cut."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "hostfile": ("launcher=hostfile",),
        "rendezvous": ("launcher=torchrun",),
        "port": ("launcher=hostfile", "launcher=slurm"),
        "nvme_path": ("offload_optimizer=nvme", "offload_weights=nvme"),
    }

    workers: int = Field(1, ge=1, description="processes in all, over all nodes; a batch divides among workers / (tensor x pipeline)")
    zero_stage: int = Field(
        0, ge=0, le=3, description="what DeepSpeed spreads over workers: 0 nothing, 1 optimizer, 2 gradients as well, 3 weights as well"
    )
    offload_optimizer: Offload = Field(
        "none",
        description="where ZeRO keeps the optimizer's numbers: none: the device; cpu: memory (stages 1 to 3); nvme: a disk (stage 3); on a "
        "processor cpu is where they are anyway",
    )
    offload_weights: Offload = Field("none", description="where ZeRO 3 keeps weights between their uses: the same choices")
    nvme_path: str = Field("", description="folder on each node's fast local disk for what is offloaded to nvme")
    tensor: int = Field(1, ge=1, description="workers that each matrix is cut over; divides heads and feed_forward; 1: whole matrices")
    pipeline: int = Field(
        1,
        ge=1,
        description="stages that the blocks are dealt out to, one worker a stage; 1: all blocks in every worker, as always in DPO, whose "
        "workers share the batch instead",
    )
    nodes: int = Field(1, ge=1, description="machines, with equally many workers on each; all see the same files under the same paths")
    launcher: Literal["local", "torchrun", "hostfile", "slurm"] = Field(
        "local",
        description="who starts the workers: folio on this machine; torchrun, given by hand on the other nodes; ssh to each host; srun in "
        "an allocation",
    )
    hostfile: str = Field("", description="file of lines `host slots=N`, as DeepSpeed and MPI read it; the first `nodes` hosts are used")
    rendezvous: str = Field("", description="host:port at which torchrun's nodes meet; the host is any of them")
    port: int = Field(29_500, ge=1_024, le=65_535, description="port of the first node at which all workers meet")
    meet_seconds: float = Field(600, gt=0, description="longest wait for all workers to arrive, or for one exchange between them; seconds")

    @property
    def data_workers(self) -> int:
        """Among how many a batch is shared: workers that hold parts of one model compute the same sequences."""
        return self.workers // (self.tensor * self.pipeline)

    @property
    def workers_a_node(self) -> int:
        """Processes on each machine."""
        return self.workers // self.nodes

    @model_validator(mode="after")
    def _workers_divide(self) -> ParallelConfig:
        if self.tensor > 1 and self.pipeline > 1:
            raise ValueError(f"tensor={self.tensor} with pipeline={self.pipeline}: one model is cut one way; set one of them to 1")
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
                f"zero_stage={stage} with pipeline={self.pipeline}: DeepSpeed's pipeline keeps the gradients and weights of a stage whole; "
                "use zero_stage 0 or 1, or pipeline=1"
            )
        if self.tensor > 1 and stage == 0:
            raise ValueError(f"zero_stage=0 with tensor={self.tensor}: only ZeRO takes the norm of a cut gradient; use zero_stage 1 to 3")
        if self.offload_weights != "none" and stage < 3:
            raise ValueError(
                f"offload_weights={self.offload_weights} with zero_stage={stage}: only stage 3 moves weights; use zero_stage=3"
            )
        least = {"none": 0, "cpu": 1, "nvme": 3}[self.offload_optimizer]
        if stage < least:
            raise ValueError(
                f"offload_optimizer={self.offload_optimizer} with zero_stage={stage}: DeepSpeed doesn't move it there; use zero_stage="
                f"{least}{' or more' if least < 3 else ', or offload_optimizer=cpu'}"
            )
        for name in ("offload_optimizer", "offload_weights"):
            if self.pipeline > 1 and getattr(self, name) != "none":
                raise ValueError(f"{name}={getattr(self, name)} with pipeline={self.pipeline}: not both; set one of them back")
        if "nvme" in (self.offload_optimizer, self.offload_weights) and not self.nvme_path:
            raise ValueError("nvme_path is empty: offload to nvme needs a folder on a local disk")
        return self

    @model_validator(mode="after")
    def _launcher_fits(self) -> ParallelConfig:
        if self.nodes > 1 and self.launcher == "local":
            raise ValueError(f"nodes={self.nodes} with launcher=local: it starts this machine's; use launcher torchrun, hostfile or slurm")
        for launcher, key in (("hostfile", "hostfile"), ("torchrun", "rendezvous")):
            if self.launcher == launcher and not getattr(self, key):
                raise ValueError(f"{key} is empty: launcher={launcher} needs it")
        if self.rendezvous and not self.rendezvous.rpartition(":")[2].isdigit():
            raise ValueError(f"rendezvous={self.rendezvous!r} has no port; write host:port, such as node1:29400")
        return self
