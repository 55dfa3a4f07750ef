"""Count what a network takes on a worker: parameters, trained ones among them, and the memory of its weights and of the whole process."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from model.hardware.peak import resident_bytes

if TYPE_CHECKING:
    import torch

    from model.networks.network import Network

FILE = "memory.json"


def sizes_of(network: Network) -> dict[str, float]:
    """Return `trained_parameters` and all weights in memory, `weight_parameters` (count, packed ones too) and `weight_bytes`."""
    parameters = list(network.parameters())
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    packed = sum(getattr(module, "packed_weights", 0) for module in network.modules())
    return {
        "trained_parameters": float(trained),
        "weight_parameters": float(sum(parameter.numel() for parameter in parameters) + packed),
        "weight_bytes": float(sum(tensor.nbytes for tensor in chain(parameters, network.buffers()))),
    }


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process so far: what torch allocated on its accelerator, else resident memory; bytes."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resident_bytes(peak=True)


def write_sizes(sizes: dict[str, float], device: torch.device, folder: Path) -> None:
    """Write `sizes` and `peak_memory_bytes` into a folder of logs."""
    (folder / FILE).write_text(json.dumps({**sizes, "peak_memory_bytes": float(peak_memory(device))}) + "\n", encoding="utf-8")


def read_sizes(folder: Path) -> dict[str, float]:
    """Return what `write_sizes` wrote."""
    sizes: dict[str, float] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return sizes
