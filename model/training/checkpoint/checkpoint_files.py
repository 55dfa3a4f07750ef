"""The files of one checkpoint: tensors by the decoder's own names, in shares, one file and its small index for each worker.

    worker-00000.safetensors   <state>/<parameter>, whole; under tensor parallelism <state>/<parameter>/<part>-of-<parts>; and
                               buffer/<name>/<data worker>
    worker-00000.json          size and SHA-256 of that file, and along which dimension its parts are cut
    checkpoint.json            how many workers wrote, and the engine's counters

Guarantee: nothing in it depends on how training was spread, so it is read on any layout. Every file is on the disk itself when its
`write` returns. A file that isn't as it was written is an error naming it. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.networks.directory import write_atomically
from model.training.checkpoint.state import read_counters, read_state, restoring, write_counters, write_state
from model.training.engine import Piece
from model.training.job import JobError
from model.training.parallel.engines import AnyEngine

COUNTERS = "checkpoint.json"
BUFFER = "buffer"


class Share(NamedTuple):
    """What one worker writes: tensors in the processor's memory, and the dimension along which a parameter is cut in parts."""

    tensors: dict[str, Tensor]
    cuts: dict[str, int]
    counters: dict[str, Any]


def take(engine: AnyEngine) -> Share:
    """A copy of this worker's share, taken now. A meeting of all workers.

    Each parameter is given to the data worker with the least so far, so all write about as much.
    """
    tensors: dict[str, Tensor] = {}
    cuts: dict[str, int] = {}
    given = [0] * engine.data_workers
    shared = engine.deepspeed.zero_optimization_stage() == 0
    for piece in engine.pieces():
        state = read_state(engine, piece)
        owner = given.index(min(given))
        given[owner] += sum(tensor.nbytes for tensor in state.values())
        if owner != engine.data_rank:
            continue
        part = f"/{piece.part}-of-{piece.parts}" if piece.parts > 1 else ""
        if piece.parts > 1:
            cuts[piece.name] = piece.dim
        for name, tensor in state.items():
            whole = tensor.contiguous()
            tensors[f"{name}/{piece.name}{part}"] = whole.to("cpu", copy=shared or not whole.dim())
    for name, buffer in engine.buffers().items():
        tensors[f"{BUFFER}/{name}/{engine.data_rank}"] = buffer.detach().to("cpu", copy=True)
    return Share(tensors, cuts, read_counters(engine))


def write(folder: Path, rank: int, workers: int, share: Share) -> None:
    """Write one worker's files; the first writes the counters, too."""
    path = folder / f"worker-{rank:05d}.safetensors"
    save_file(share.tensors, path)
    to_disk(path)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    _write_json(path.with_suffix(".json"), {"bytes": path.stat().st_size, "sha256": sha256, "cuts": share.cuts})
    if rank == 0:
        _write_json(folder / COUNTERS, {"workers": workers, "counters": share.counters})
    to_disk(folder)


def load(engine: AnyEngine, folder: Path) -> None:
    """Put weights, optimizer and counters back to what they were at `write`. A meeting of all workers."""
    described = _read_json(folder / COUNTERS)
    stored = Stored(folder, described["workers"], engine.place.rank, engine.place.world)
    with restoring(engine):
        for piece in engine.pieces():
            write_state(engine, piece, stored.of(piece))
    for name, buffer in engine.buffers().items():
        buffer.copy_(stored.buffer(name, engine.data_rank))
    write_counters(engine, described["counters"])


class Stored:
    """The tensors of a checkpoint, read when asked for. Each reader looks at its share of the files' digests."""

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
            for key in handle.keys():  # noqa: SIM118  # no mapping: it can't be iterated over
                state, name, *part = key.split("/")
                place = int(part[0].partition("-")[0]) if part else 0
                self._parts.setdefault((name, state), {})[place] = (handle, key)

    def names(self) -> list[tuple[str, str]]:
        """(parameter, state) of all there is."""
        return sorted(self._parts)

    def of(self, piece: Piece) -> dict[str, Tensor]:
        """The state of a parameter, or of the piece of it that this worker holds."""
        states = [state for name, state in self._parts if name == piece.name and state != BUFFER]
        if not states:
            raise JobError(f"{self.folder} holds no {piece.name}; remove {self.folder.parent} to start afresh")
        return {state: self._cut(self.whole(piece.name, state), piece) for state in states}

    def whole(self, name: str, state: str) -> Tensor:
        """A tensor with its parts put together."""
        parts = [handle.get_tensor(key) for _, (handle, key) in sorted(self._parts[name, state].items())]
        return parts[0] if len(parts) == 1 or not parts[0].dim() else torch.cat(parts, dim=self._cuts[name])

    def buffer(self, name: str, data_rank: int) -> Tensor:
        """A worker's own buffer, or the first worker's if there was no such worker."""
        copies = self._parts[name, BUFFER]
        handle, key = copies.get(data_rank, copies[0])
        tensor: Tensor = handle.get_tensor(key)
        return tensor

    @staticmethod
    def _cut(whole: Tensor, piece: Piece) -> Tensor:
        return whole if piece.parts == 1 or not whole.dim() else whole.chunk(piece.parts, dim=piece.dim)[piece.part].contiguous()


def to_disk(path: Path) -> None:
    """Wait until a file or a folder's list of files is on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(path: Path, index: Mapping[str, Any], *, digest: bool) -> None:
    found = path.stat().st_size if path.exists() else None
    sound = found == index["bytes"]
    if sound and digest:
        with path.open("rb") as stream:
            sound = hashlib.file_digest(stream, "sha256").hexdigest() == index["sha256"]
    if not sound:
        what = "is missing" if found is None else f"is damaged ({found:,} bytes of {index['bytes']:,}, or other ones)"
        raise JobError(f"{path} {what}; remove {path.parent.parent} to start afresh")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise JobError(f"{path} is missing or damaged ({error}); remove {path.parent.parent} to start afresh") from error
    return content
