"""What a network must know of how its training is spread, to say which layouts it can't have. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The settings that a network can refuse. `section`, `shape` and `spread` prefix the keys of training, network and layout."""

    workers: int
    tensor: int
    pipeline: int
    micro_batch: int
    global_batch: int
    batch_warmup_steps: int
    recompute: str
    zero_stage: int = 0
    section: str = ""
    shape: str = ""
    spread: str = ""
