"""Show `folio size` as text and tables, for someone who has never trained a model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from model.planning.amounts import gibibytes, short, speed
from model.planning.proposal import Proposal, SizedJob
from tasks.reporting.wording import seconds, share
from tasks.reporting.wording import size as in_bytes
from tasks.stage.system.columns import columns
from tasks.stage.system.command_line import folio

Price = Callable[[SizedJob], float | None]
STAGES = ("nothing", "optimizer", "and gradients", "and weights")


def size_table(name: str, argument: str, found: Proposal, currency: str, price: Price) -> str:
    """Return what there is, what is proposed and why, what it takes, and the warnings. `argument`: the recipe as the user named it."""
    return "\n".join(_lines(name, argument, found, currency, price))


def _lines(name: str, argument: str, found: Proposal, currency: str, price: Price) -> Iterator[str]:
    text, machine = found.text, found.machine
    tokens = short(text.tokens(found.proposed.job.vocab_size))
    yield f"{name}: {in_bytes(text.bytes)} of text to learn from, about {tokens} tokens ({text.source})"
    devices = f"{machine.devices} x {machine.name}" if machine.accelerator else machine.name
    each = " each" if machine.accelerator else ""
    used = f"of which training uses {share(machine.utilization)} ({machine.utilization_source})"
    yield f"machine: {devices}, {speed(machine.peak)}{each} ({machine.peak_source}), {used}"
    yield from ("", "what the recipe has, and what would fit")
    yield from _compared(found)
    yield from ("", f"how long to train the one that would fit ({found.reason})")
    yield from _lengths(found, currency, price)
    if price(found.proposed) is None:
        yield f"  to see the price: --set rates.{'gpu' if machine.accelerator else 'cpu'}_hour=PRICE"
    sequences = found.proposed.job.micro_batch
    room = f"micro-batches of {sequences} sequences; it has {gibibytes(machine.memory)}"
    yield from ("", f"memory of one of {machine.devices} workers, {room}" if machine.devices > 1 else f"memory of the one worker, {room}")
    yield from _memory(found)
    for title, plan in (("the recipe as it is", found.present), ("what would fit", found.proposed)):
        yield from ("", title + ":", *(f"  ! {warning}" for warning in plan.warnings or ()))
        if not plan.warnings:
            yield "  no warnings"
    yield from ("", "to run what would fit:", f"  {folio('run', argument)} \\")
    changes = _changes(found.proposed, found.present)
    yield from (f"    --set {shlex.quote(change)}" + (" \\" if change != changes[-1] else "") for change in changes)
    if machine.accelerator and found.proposed.job.train.precision.PRODUCTS == "fp32":
        yield from ("", "in fp32 most of this device is idle; try: --set pretrain.precision=bf16")


def _compared(found: Proposal) -> list[str]:
    def row(plan: SizedJob) -> dict[str, str]:
        job, shape = plan.job, plan.job.network
        return {
            "parameters": short(plan.parameters),
            "vocabulary (tokens)": f"{job.vocab_size:,}",
            "width x layers": f"{shape.width} x {shape.layers}",
            **{key.replace("_", " "): f"{getattr(shape, key):,}" for key in shape.SIZES if key not in ("width", "layers")},
            "context (tokens)": f"{shape.context:,}",
            "tokens trained on": short(plan.tokens),
            "tokens a parameter (20 where text is plenty)": f"{plan.tokens_per_parameter:.1f}",
            "times through the text (4 are worth nearly 4)": f"{plan.epochs:.2g}",
            "sequences a batch": f"{job.train.global_batch:,}",
            "steps": f"{job.total_steps:,}",
            "learning rate": f"{job.train.learning_rate:g}",
            "time": seconds(plan.seconds),
        }

    present, proposed = row(found.present), row(found.proposed)
    return columns([("", "recipe", "would fit"), *((key, present[key], proposed[key]) for key in present)], frozenset({1, 2}), indent=2)


def _lengths(found: Proposal, currency: str, price: Price) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for plan in found.alternatives:
        money = price(plan)
        cost = () if money is None else (f"{money:,.2f} {currency}",)
        rows.append(
            (
                f"{plan.tokens_per_parameter:.0f} a parameter",
                short(plan.tokens),
                f"{plan.epochs:.2g}",
                share(plan.repetition_value),
                f"{plan.job.total_steps:,}",
                seconds(plan.seconds),
                *cost,
                _verdict(plan, found),
            )
        )
    head = ("tokens", "in all", "passes", "as new text", "steps", "time", *(("cost",) if len(rows[0]) == 8 else ()), "")
    return columns([head, *rows], frozenset({1, 2, 3, 4, 5, 6}), indent=2)


def _verdict(plan: SizedJob, found: Proposal) -> str:
    if plan is found.proposed:
        return "<- proposed"
    if plan.repetition_value < 0.8:
        return "repeats too much"
    return "cheaper, learns less" if plan.tokens < found.proposed.tokens else "dearer, learns more"


def _memory(found: Proposal) -> list[str]:
    parts = ("weights", "gradients", "optimizer", "activations", "logits", "buffers", "framework")
    chosen = found.proposed.job.resources.parallel.zero_stage
    stages = found.proposed.memory
    rows = [(part, *(gibibytes(getattr(memory, part)) for memory in stages.values())) for part in parts]
    rows.append(("all", *(gibibytes(memory.total) for memory in stages.values())))
    rows.append(("", *("^ proposed" if stage == chosen else "" for stage in stages)))
    head = ("ZeRO stage, spreads", *(f"{stage} {STAGES[stage]}" for stage in stages))
    return columns([head, *rows], frozenset(range(1, 1 + len(stages))), indent=2)


def _changes(plan: SizedJob, present: SizedJob) -> list[str]:
    job, shape, before = plan.job, plan.job.network, present.job
    changes = [
        f"tokenizer.vocab_size={job.vocab_size}",
        *(f"model.{key}={getattr(shape, key)}" for key in shape.SIZES),
        f"pretrain.learning_rate={job.train.learning_rate:g}",
        f"pretrain.tokens={job.train.tokens}",
        f"pretrain.global_batch={job.train.global_batch}",
    ]
    changes += [f"pretrain.{key}=0" for key in ("steps", "batch_warmup_steps", "batch_warmup_from") if getattr(before.train, key)]
    parallel = job.resources.parallel
    if parallel.workers > 1:
        changes += [f"resources.training.parallel.{key}={getattr(parallel, key)}" for key in ("workers", "zero_stage")]
    if job.resources.micro_batch != before.resources.micro_batch:
        changes.append(f"resources.training.micro_batch={job.resources.micro_batch}")
    return changes
