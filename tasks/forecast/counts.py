"""Count a network's operations once and cache them: loading torch and counting take seconds, and every plan needs them.

Counts are kept in the user's cache folder, by the digest of what they depend on: the network, its vocabulary, torch's version, and the
source that is counted and that counts. A changed layer is counted anew; a folder that can't be written to costs those seconds each time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from tasks.stage.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from model.networks.base import NetworkBase

MODEL = Path(__file__).resolve().parents[2] / "model"
COUNTED = ("networks", "layers", "inputs", "hardware/flops.py")


def training_operations(network: NetworkBase, vocab_size: int) -> float:
    """Return the operations of the forward and backward pass for one token."""

    def count() -> float:
        from model.hardware.flops import training_flops

        return training_flops(network, vocab_size)

    return _counted("training_operations", network, vocab_size, count)


def parameters(network: NetworkBase, vocab_size: int) -> float:
    """Return the number of parameters."""

    def count() -> float:
        from model.networks.meta import count_parameters

        return float(count_parameters(network, vocab_size))

    return _counted("parameters", network, vocab_size, count)


def _counted(name: str, network: NetworkBase, vocab_size: int, count: Callable[[], float]) -> float:
    asked = json.dumps([name, network.model_dump(mode="json"), vocab_size, _source_digest()], sort_keys=True)
    file = user_cache_path("folio", appauthor=False) / "counts" / hashlib.sha256(asked.encode()).hexdigest()
    with suppress(OSError, ValueError):  # not there, or damaged
        if 0 < (known := float(file.read_text(encoding="ascii"))) < math.inf:
            return known
    value = count()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, repr(value).encode())
    return value


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Digest torch's version and every source file that a count depends on."""
    digest = hashlib.sha256(version("torch").encode())
    for name in COUNTED:
        path = MODEL / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"\0{file.relative_to(MODEL)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
