"""Decontamination without a flow: the three steps over some shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.decontamination.config import PASSAGES, DecontaminateConfig
from data.decontamination.decontaminate import decontaminate, find_contamination, search


def decontaminate_shards(
    shards: Sequence[Path],
    output: Path,
    config: DecontaminateConfig,
    *,
    root: Path,
    observed: Mapping[str, str] | None = None,
    held_out: Mapping[str, Sequence[Path]] | None = None,
    **limits: Any,
) -> dict[str, float]:
    """Write the result of each shard into `output`/0, `output`/1 and so on; return all metrics, those of shards added up."""
    steps = output.with_name(f"{output.name}-steps")
    found = [steps / str(number) for number in range(len(shards))]
    for shard, folder in zip(shards, found, strict=True):
        search(shard, folder, config.searching, root=root, observed=observed, held_out=held_out, **limits)
    metrics = find_contamination(found, steps / "whole", config.deciding(len(shards)), **limits)
    for number, shard in enumerate(shards):
        passages = steps / "whole" / PASSAGES.format(number)
        for name, value in decontaminate(shard, passages, output / str(number), config.cutting, **limits).items():
            metrics[name] = metrics.get(name, 0.0) + value
    return metrics
