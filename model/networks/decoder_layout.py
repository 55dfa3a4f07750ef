"""Which layouts of workers a decoder can't have, each a sentence that names the keys, their values and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model.networks.layout import Layout

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig


def decoder_layout_problems(config: DecoderConfig, layout: Layout) -> Iterator[str]:
    """Yield what a decoder's norm, heads, positions and biases do not allow."""
    if config.norm == "batch":
        yield from _batch_norm(layout)
    if layout.tensor > 1:
        yield from _tensor_parallel(config, layout)
    if layout.pipeline > 1 and (config.positions in ("learned", "relative") or config.norm == "batch"):
        what = f"positions={config.positions}" if config.norm != "batch" else "norm=batch"
        yield (f"{layout.shape}{what} with {layout.spread}pipeline={layout.pipeline}: its state belongs to no single stage; use pipeline=1")


def _batch_norm(layout: Layout) -> Iterator[str]:
    """Batch norm needs the whole batch at once; otherwise its statistics would depend on how the batch is divided."""
    norm = f"{layout.shape}norm=batch"
    if layout.workers > 1:
        yield f"{norm} with {layout.spread}workers={layout.workers}: each would normalize its own part; use one worker, or another norm"
    if 0 < layout.micro_batch < layout.global_batch:
        yield (
            f"{norm} with micro_batch={layout.micro_batch}: each micro-batch of {layout.section}global_batch={layout.global_batch} "
            "would have its own statistics; set micro_batch=0, or use another norm"
        )
    if layout.batch_warmup_steps:
        steps = f"{layout.section}batch_warmup_steps={layout.batch_warmup_steps}"
        yield f"{norm} with {steps}: its batch can't grow; set 0, or another norm"
    if layout.recompute != "none":
        yield f"{norm} with recompute={layout.recompute}: its statistics would be updated twice; set recompute=none"


def _tensor_parallel(config: DecoderConfig, layout: Layout) -> Iterator[str]:
    shape, tensor = layout.shape, f"{layout.spread}tensor={layout.tensor}"
    for name in ("heads", "kv_heads", "feed_forward"):
        count = getattr(config, name)
        if count % layout.tensor:
            yield f"{shape}{name}={count} is not divisible by {tensor}; choose a multiple, or a divisor of it for tensor"
    plain = {"attention": "grouped", "attention_bias": False, "feed_forward_bias": False}
    if changed := next((f"{name}={getattr(config, name)}" for name, value in plain.items() if getattr(config, name) != value), ""):
        yield f"{shape}{changed} with {tensor}: only plain matrices can be cut; use tensor=1, or its default"
    if config.positions in ("alibi", "relative"):
        yield f"{shape}positions={config.positions} with {tensor}: its parameters per head can't be cut; use tensor=1"
