"""The files of one checkpoint: tensors by the decoder's own names, divided among the workers, one file and a small index for each.

    worker-00000.safetensors   <state>/<parameter>, whole; under tensor parallelism <state>/<parameter>/<part>-of-<parts>; and
                               buffer/<name>/<data worker>
    worker-00000.json          size and SHA-256 of that file, and along which dimension its parts are cut
    checkpoint.json            how many workers wrote, and the engine's counters

Guarantee: nothing in it depends on how training was distributed, so it can be read on any layout. Every file has been flushed to disk when
`write` returns. A changed file raises JobError with its name. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.shards.durable import file_digest, flush_to_disk, write_atomically
from model.hardware.transfers import Snapshot
from model.training.engine import LocalParameter
from model.training.job import JobError
from model.training.optimizers.state import read_state, restoring, write_state
from model.training.parallel.engines import AnyEngine

COUNTERS = "checkpoint.json"
BUFFER = "buffer"


class WorkerFile(NamedTuple):
    """One worker's part of a checkpoint: tensors in CPU memory, and the dimension along which a parameter is cut into parts.

    On an accelerator the copies may still be under way: `copies.wait()` before reading them.
    """

    copies: Snapshot
    tensors: dict[str, Tensor]
    cuts: dict[str, int]
    counters: dict[str, Any]


def snapshot(engine: AnyEngine) -> WorkerFile:
    """Copy what this worker will write; the host doesn't wait for the copies. A collective: all workers must call it.

    Each parameter goes to the data worker with the fewest bytes so far, so all write about the same amount.
    """
    copies, tensors = Snapshot(), dict[str, Tensor]()
    cuts: dict[str, int] = {}
    assigned = [0] * engine.data_workers
    shared = engine.deepspeed.zero_optimization_stage() == 0
    for local in engine.local_parameters():
        state = read_state(engine.deepspeed, local.name, local.parameter)
        owner = assigned.index(min(assigned))
        assigned[owner] += sum(tensor.nbytes for tensor in state.values())
        if owner != engine.data_rank:
            continue
        part = f"/{local.part}-of-{local.parts}" if local.parts > 1 else ""
        if local.parts > 1:
            cuts[local.name] = local.dim
        for key, tensor in state.items():
            whole = tensor.contiguous()
            tensors[f"{key}/{local.name}{part}"] = copies.copy(whole, shared=shared or not whole.dim())
    for name, buffer in engine.buffers().items():
        tensors[f"{BUFFER}/{name}/{engine.data_rank}"] = copies.copy(buffer.detach(), shared=True)
    return WorkerFile(copies, tensors, cuts, _read_counters(engine))


def write(folder: Path, rank: int, workers: int, content: WorkerFile) -> None:
    """Write one worker's files; rank 0 writes the counters as well."""
    path = folder / f"worker-{rank:05d}.safetensors"
    content.copies.wait()
    save_file(content.tensors, path)
    flush_to_disk(path)
    sha256 = file_digest(path)
    _write_json(path.with_suffix(".json"), {"bytes": path.stat().st_size, "sha256": sha256, "cuts": content.cuts})
    if rank == 0:
        _write_json(folder / COUNTERS, {"workers": workers, "counters": content.counters})
    flush_to_disk(folder)


def load(engine: AnyEngine, folder: Path) -> None:
    """Restore the weights, optimizer and counters that were saved in `folder`. A collective."""
    described = _read_json(folder / COUNTERS)
    stored = StoredTensors(folder, described["workers"], engine.worker.rank, engine.worker.world_size)
    with restoring(engine.deepspeed):
        for local in engine.local_parameters():
            write_state(engine.deepspeed, local.name, local.parameter, stored.state(local))
    for name, buffer in engine.buffers().items():
        buffer.copy_(stored.buffer(name, engine.data_rank))
    _write_counters(engine, described["counters"])


class StoredTensors:
    """The tensors of a checkpoint, read lazily. The readers divide the checking of digests among themselves."""

    def __init__(self, folder: Path, workers: int, reader: int = 0, readers: int = 1) -> None:
        self.folder = folder
        self._parts: dict[tuple[str, str], dict[int, tuple[Any, str]]] = {}
        self._cuts: dict[str, int] = {}
        for number in range(workers):
            path = folder / f"worker-{number:05d}.safetensors"
            index = _read_json(path.with_suffix(".json"))
            _check(path, index, digest=number % readers == reader)
            self._cuts |= index["cuts"]
            handle: Any = safe_open(path, framework="pt")
            for key in handle.keys():  # noqa: SIM118  # not a mapping: it can't be iterated over
                state, name, *part = key.split("/")
                ordinal = int(part[0].partition("-")[0]) if part else 0
                self._parts.setdefault((name, state), {})[ordinal] = (handle, key)

    def names(self) -> list[tuple[str, str]]:
        """Every (parameter, state) stored."""
        return sorted(self._parts)

    def state(self, local: LocalParameter) -> dict[str, Tensor]:
        """The state of a parameter, or of this worker's part of it."""
        states = [state for name, state in self._parts if name == local.name and state != BUFFER]
        if not states:
            raise JobError(f"{self.folder} has no parameter {local.name}; remove {self.folder.parent} to start afresh")
        return {state: self._cut(self.whole(local.name, state), local) for state in states}

    def whole(self, name: str, state: str) -> Tensor:
        """A tensor with its parts joined."""
        parts = [handle.get_tensor(key) for _, (handle, key) in sorted(self._parts[name, state].items())]
        return parts[0] if len(parts) == 1 or not parts[0].dim() else torch.cat(parts, dim=self._cuts[name])

    def buffer(self, name: str, data_rank: int) -> Tensor:
        """A worker's own buffer, or rank 0's if it had no such worker."""
        copies = self._parts[name, BUFFER]
        handle, key = copies.get(data_rank, copies[0])
        tensor: Tensor = handle.get_tensor(key)
        return tensor

    @staticmethod
    def _cut(whole: Tensor, local: LocalParameter) -> Tensor:
        return whole if local.parts == 1 or not whole.dim() else whole.chunk(local.parts, dim=local.dim)[local.part].contiguous()


def _read_counters(engine: AnyEngine) -> dict[str, Any]:
    inside = engine.deepspeed
    return {"scalars": engine.scalars(), "global_steps": inside.global_steps, "global_samples": inside.global_samples}


def _write_counters(engine: AnyEngine, counters: Mapping[str, Any]) -> None:
    """Restore `_read_counters`; the learning rate follows from the number of updates.

    Micro-batches are recounted, as another layout makes another number of them per update.
    """
    inside = engine.deepspeed
    engine.set_scalars(counters["scalars"])
    inside.global_steps, inside.global_samples = counters["global_steps"], counters["global_samples"]
    inside.micro_steps = counters["global_steps"] * inside.gradient_accumulation_steps()


def _check(path: Path, index: Mapping[str, Any], *, digest: bool) -> None:
    found = path.stat().st_size if path.exists() else None
    sound = found == index["bytes"]
    if sound and digest:
        sound = file_digest(path) == index["sha256"]
    if not sound:
        what = "is missing" if found is None else f"is damaged ({found:,} bytes, {index['bytes']:,} expected, or their SHA-256 differs)"
        raise JobError(f"{path} {what}; remove {path.parent.parent} to start afresh")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise JobError(f"{path} is missing or damaged ({error}); remove {path.parent.parent} to start afresh") from error
    return content
