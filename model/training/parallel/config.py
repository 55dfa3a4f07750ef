"""How training is spread over processes and machines, and where its numbers live. Cheap to import; none of it is identity.

A combination that DeepSpeed can't do, or that would do nothing, is refused here by the names and values of its keys, with the way out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

Offload = Literal["none", "cpu", "nvme"]


class ParallelConfig(BaseModel, frozen=True, extra="forbid"):
    """Workers over nodes, what DeepSpeed's ZeRO spreads over them or moves out of the accelerators, and stages of a pipeline."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "hostfile": ("launcher=hostfile",),
        "rendezvous": ("launcher=torchrun",),
        "nvme_path": ("offload_optimizer=nvme", "offload_weights=nvme"),
    }

    workers: int = Field(1, ge=1, description="processes in all, over all nodes; each data parallel one takes its share of a batch")
    zero_stage: int = Field(1, ge=0, le=3, description="what DeepSpeed spreads over workers: 1 optimizer, 2 gradients, 3 weights")
    offload_optimizer: Offload = Field(
        "none", description="where ZeRO 1 to 3 keep the optimizer's numbers: the accelerator, memory, a disk"
    )
    offload_weights: Offload = Field("none", description="where ZeRO 3 keeps weights between their uses: the accelerator, memory, a disk")
    nvme_path: str = Field("", description="folder on each node's fast local disk that offload to nvme writes into")
    pipeline: int = Field(
        1, ge=1, description="stages that the blocks are dealt out to, one worker a stage; 1: every worker has all blocks"
    )
    nodes: int = Field(1, ge=1, description="machines, with equally many workers on each; all see the same files under the same paths")
    launcher: Literal["local", "torchrun", "hostfile", "slurm"] = Field(
        "local", description="who starts the workers: folio on this machine, torchrun by hand on each node, ssh to each host, srun"
    )
    hostfile: str = Field("", description="file of `host slots=N` lines, as DeepSpeed and MPI read it")
    rendezvous: str = Field("", description="host:port at which torchrun's nodes meet; the host is the first node")
    meet_seconds: float = Field(600, gt=0, description="time for all workers to arrive, and for any one exchange between them; seconds")

    @model_validator(mode="after")
    def _layout_fits(self) -> ParallelConfig:
        for name in ("pipeline", "nodes"):
            if self.workers % getattr(self, name):
                raise ValueError(
                    f"workers={self.workers} does not divide by {name}={getattr(self, name)}; choose workers that are a multiple of it"
                )
        if self.pipeline > 1 and self.zero_stage > 1:
            raise ValueError(
                f"zero_stage={self.zero_stage} with pipeline={self.pipeline}: DeepSpeed's pipeline keeps gradients and weights whole within a "
                "stage; use zero_stage 0 or 1, or pipeline=1"
            )
        return self

    @model_validator(mode="after")
    def _not_yet(self) -> ParallelConfig:
        for name in ("nodes", "launcher"):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default:
                raise ValueError(f"{name}={value} is not supported; leave it at {default}")
        return self

    @property
    def data_workers(self) -> int:
        """Among how many workers a batch is shared: those of one pipeline compute the same sequences."""
        return self.workers // self.pipeline
