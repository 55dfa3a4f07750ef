"""Adapters in a release: those trained on the released model, and the one that is part of the model itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.adapters.opening import stored_adapter
from model.adapters.protocol import FIELDS, TENSORS

BESIDE = "adapters"  # folder of a release with one folder per adapter


def copy_adapter(folder: Path, output: Path) -> None:
    """Copy an adapter's two files. Raise ModelError for a folder without one."""
    stored_adapter(folder)
    output.mkdir(parents=True, exist_ok=True)
    for name in (TENSORS, FIELDS):
        shutil.copyfile(folder / name, output / name)


def adapters_beside(directory: Path) -> dict[str, Path]:
    """Return the folder of each adapter beside a released model, by its name."""
    return {path.parent.name: path.parent for path in sorted(directory.glob(f"{BESIDE}/*/{FIELDS}"))}


def adapter_facts(adapters: Mapping[str, Path], *, own_names: bool) -> list[dict[str, Any]]:
    """Return the card's facts on each adapter: its name, kind, and whether peft loads it on the model.

    `own_names`: whether the released weights have the names that adapters are saved by.
    """
    kinds = {name: stored_adapter(folder) for name, folder in adapters.items()}
    return [{"name": name, "kind": config.kind, "peft": own_names and config.PEFT_LOADS} for name, config in kinds.items()]
